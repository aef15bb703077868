/** What the measurement of usage takes and gives. */
import { ConfigurationError, ValidationFailedError } from '../errors.ts'
import type { Isolation } from '../context/context.ts'

/** When what tenants take is measured, and how long that is kept. */
export interface UsageOptions {
  /** Measures so often, in minutes, in one process of all that are given this. At most 10080. Default 0: only when it is asked for. */
  readonly everyMinutes?: number
  /** How many days are kept. Default 400. */
  readonly keepDays?: number
}

export const USAGE_DEFAULTS = { everyMinutes: 0, keepDays: 400 } as const satisfies Required<UsageOptions>

const WEEK_MINUTES = 7 * 24 * 60
/** What `list` answers at most. */
export const LIST_MAX = 1_000

/** What `tenancy.usage.collect` is told. */
export interface UsageCollectOptions {
  /** Only these tenants, by slug. Default: all that are ready, suspended or archived. */
  readonly tenants?: readonly string[] | undefined
  /** Is told how many there are, before the first. */
  readonly total?: ((tenants: number) => void) | undefined
  /** Is told of each tenant when it was measured, or could not be. */
  readonly measured?: ((tenant: MeasuredTenant | UnmeasuredTenant) => void) | undefined
}

/** What a tenant takes. */
export interface MeasuredTenant {
  readonly tenant: string
  readonly storage_bytes: number
  readonly table_count: number
  readonly row_estimate: number
}

/** A tenant that could not be measured. */
export interface UnmeasuredTenant {
  readonly tenant: string
  readonly error: string
}

/** What `tenancy.usage.collect` did. */
export interface UsageReport {
  /** The day, by UTC, that the rows are for: `2026-01-31`. */
  readonly day: string
  readonly measured: number
  /** Those that could not be reached; they have no new row. */
  readonly failed: readonly UnmeasuredTenant[]
  /** Rows older than `usage.keepDays` that were removed. */
  readonly removed: number
}

/** What `tenancy.usage.list` is told. */
export interface UsageQuery {
  /** `2026-01-31`. Default: the last day that has rows. */
  readonly day?: string | undefined
  /** Only these tenants, by slug. Default: all. */
  readonly tenants?: readonly string[] | undefined
  /** How many rows, from 1 to 1000. Default 100. */
  readonly limit?: number | undefined
}

/** A stored row. */
export interface UsageJson extends MeasuredTenant {
  readonly day: string
  readonly isolation_mode: Isolation
  /** ISO 8601, in UTC. */
  readonly measured_at: string
}

/** @throws CONFIGURATION_INVALID */
export function resolveUsage(given: UsageOptions = {}): Required<UsageOptions> {
  const usage = { ...USAGE_DEFAULTS, ...given }
  const problems: string[] = []
  if (!(usage.everyMinutes >= 0 && usage.everyMinutes <= WEEK_MINUTES))
    problems.push(`usage.everyMinutes must be a number from 0 to ${WEEK_MINUTES}; it is ${String(usage.everyMinutes)}.`)
  if (!Number.isSafeInteger(usage.keepDays) || usage.keepDays < 1)
    problems.push(`usage.keepDays must be a positive whole number; it is ${String(usage.keepDays)}.`)
  if (problems.length > 0) throw new ConfigurationError(problems)
  return usage
}

/** @throws VALIDATION_FAILED */
export function checkedQuery({ day, tenants, limit = 100 }: UsageQuery): UsageQuery & { readonly limit: number } {
  const errors: { path: string; message: string }[] = []
  if (day !== undefined && !isDay(day)) errors.push({ path: 'day', message: 'must be a day such as 2026-01-31' })
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > LIST_MAX)
    errors.push({ path: 'limit', message: `must be a whole number from 1 to ${LIST_MAX}` })
  if (errors.length > 0) throw new ValidationFailedError(errors)
  return { day, tenants, limit }
}

/** Whether it is a day of the calendar, written like `2026-01-31`. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const time = Date.parse(`${text}T00:00:00Z`)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}
