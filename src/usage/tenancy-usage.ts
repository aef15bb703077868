/** What tenants take, measured and kept by day: `tenancy.usage`. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { withDirectClient } from '../connections/direct.ts'
import { currentActor, em, runInContext, type Actor } from '../context/context.ts'
import { TenantNotFoundError } from '../errors.ts'
import { recordOf, type TenantRecord, type TenantRow } from '../tenants/directory.ts'
import { Tenant } from '../tenants/entities.ts'
import { MEASURE_DATABASE, MEASURE_SCHEMAS, databaseUsageOf, schemaUsageOf, type SchemaUsage, type UsageRow } from './measuring.ts'
import { claimTurn, listUsage, removeBefore, storeUsage } from './store.ts'
import {
  checkedQuery,
  type MeasuredTenant,
  type UnmeasuredTenant,
  type UsageCollectOptions,
  type UsageJson,
  type UsageOptions,
  type UsageQuery,
  type UsageReport,
} from './usage-types.ts'

export interface TenancyUsageOptions extends Required<UsageOptions> {
  readonly control: () => EntityManager
  readonly directUrl: string
  /** Runs work in a tenant, whether it serves or not, with a connection of the application's budget. */
  readonly inside: <T>(record: TenantRecord, actor: Actor, work: () => Promise<T>) => Promise<T>
  readonly reasonOf: (error: unknown) => string
}

/** Those whose data is kept. */
const KEPT = ['ready', 'suspended', 'archived'] as const
/** Schema tenants in one query. Each batch has a session of its own: a session keeps what it has read of the catalog. */
const BATCH = 500
/** Databases looked into at once. */
const DATABASES_AT_ONCE = 4
/** How long after the start it is first asked whether a measurement is due, at most. */
const FIRST_MS = 60_000
const SYSTEM: Actor = Object.freeze({ plane: 'system', id: 'usage', label: 'usage' })

type Outcome = MeasuredTenant | UnmeasuredTenant

/** What each tenant takes, by day: `tenancy.usage`. */
export class TenancyUsage {
  readonly #options: TenancyUsageOptions
  #timer: NodeJS.Timeout | undefined
  #running: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(options: TenancyUsageOptions) {
    this.#options = options
  }

  /**
   * Measures tenants now, and keeps it as their rows of today (by UTC): bytes, tables, and an estimate of the rows. Schema tenants are read
   * 500 by one query, database tenants one by one, over the connections that the application may open. Who cannot be reached is told and
   * does not stop the others.
   *
   * @throws TENANT_NOT_FOUND
   * @example const { measured, failed } = await tenancy.usage.collect()
   */
  async collect({ tenants, total, measured }: UsageCollectOptions = {}): Promise<UsageReport> {
    const { control, keepDays } = this.#options
    const where = { status: { $in: [...KEPT] }, ...(tenants === undefined ? {} : { slug: { $in: [...tenants] } }) }
    if (tenants !== undefined) await this.#known(tenants, where)
    total?.(await control().count(Tenant, where, { filters: false }))
    const { plane, id } = currentActor() ?? SYSTEM
    const day = new Date().toISOString().slice(0, 10)
    const failed: UnmeasuredTenant[] = []
    let count = 0
    for await (const page of this.#pages(where)) {
      const outcomes = await this.#measure(page)
      const ids = new Map(page.map(row => [row.slug, row.id]))
      const done = outcomes.filter((outcome): outcome is MeasuredTenant => !('error' in outcome))
      const rows = done.map(({ tenant, ...usage }) => ({ tenant_id: ids.get(tenant)!, ...usage }))
      await storeUsage(control(), day, `${plane}:${id}`, rows)
      failed.push(...outcomes.filter(outcome => 'error' in outcome))
      count += done.length
      for (const outcome of outcomes) measured?.(outcome)
    }
    return { day, measured: count, failed, removed: await removeBefore(control(), day, keepDays) }
  }

  /**
   * The rows of a day, the largest tenants first.
   *
   * @throws VALIDATION_FAILED
   * @example const [largest] = await tenancy.usage.list({ limit: 1 })
   */
  async list(query: UsageQuery = {}): Promise<readonly UsageJson[]> {
    return listUsage(this.#options.control(), checkedQuery(query))
  }

  /** Measures by the clock, if that was asked for. @internal */
  start(): void {
    const everyMs = this.#options.everyMinutes * 60_000
    // Nothing of the moment in which the tenancy was made: the clock acts as itself.
    if (everyMs > 0 && !this.#closed) this.#later(Math.min(everyMs, FIRST_MS), everyMs)
  }

  /** Begins nothing more, and waits for what was begun. @internal */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#running
  }

  #later(delay: number, everyMs: number): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => {
      this.#running = this.#tick(everyMs / 1_000).finally(() => this.#later(everyMs, everyMs))
    }, delay).unref()
  }

  /** Several processes ask; the one that is told so measures. */
  async #tick(everySeconds: number): Promise<void> {
    try {
      const context = { tenant: undefined, actor: SYSTEM, em: undefined, control: this.#options.control, requestId: undefined }
      await runInContext(context, async () => {
        if (!(await claimTurn(this.#options.control(), everySeconds))) return
        const { failed } = await this.collect()
        if (failed.length > 0) this.#warn(`${failed.length} tenants could not be measured, ${failed[0]!.tenant}: ${failed[0]!.error}`)
      })
    } catch (error) {
      this.#warn(`What tenants take could not be measured: ${this.#options.reasonOf(error)}`)
    }
  }

  #warn(message: string): void {
    process.emitWarning(message, { code: 'TENANTKIT_USAGE_FAILED' })
  }

  /** By slug, a batch at a time, so that memory does not grow with the number of tenants. */
  async *#pages(where: object): AsyncGenerator<readonly TenantRow[]> {
    for (let after = ''; !this.#closed;) {
      const query = { $and: [where, { slug: { $gt: after } }] } as never
      const rows = await this.#options.control().find(Tenant, query, { filters: false, orderBy: { slug: 'asc' }, limit: BATCH })
      if (rows.length > 0) yield rows
      if (rows.length < BATCH) return
      after = rows.at(-1)!.slug
    }
  }

  /** In the order of the page. */
  async #measure(page: readonly TenantRow[]): Promise<readonly Outcome[]> {
    const records = page.map(recordOf)
    const schemas = records.filter(({ ref }) => ref.isolation === 'schema')
    const found = new Map<string, Outcome>()
    if (schemas.length > 0) for (const outcome of await this.#schemas(schemas)) found.set(outcome.tenant, outcome)
    const databases = records.filter(({ ref }) => ref.isolation === 'database').values()
    const worker = async (): Promise<void> => {
      for (const record of databases) found.set(record.ref.slug, await this.#database(record))
    }
    await Promise.all(Array.from({ length: DATABASES_AT_ONCE }, worker))
    return records.map(({ ref }) => found.get(ref.slug)!)
  }

  async #schemas(records: readonly TenantRecord[]): Promise<readonly Outcome[]> {
    try {
      const names = records.map(({ ref }) => ref.schema)
      const rows = await withDirectClient(this.#options.directUrl, async client => {
        return (await client.query<UsageRow>(MEASURE_SCHEMAS, [names])).rows
      })
      const usage = new Map(rows.map(row => [row.schema, schemaUsageOf(row)]))
      return records.map(({ ref }) => outcomeOf(ref.slug, usage.get(ref.schema), ref.schema))
    } catch (error) {
      return records.map(({ ref }) => ({ tenant: ref.slug, error: this.#options.reasonOf(error) }))
    }
  }

  async #database(record: TenantRecord): Promise<Outcome> {
    const { slug, schema } = record.ref
    if (this.#closed) return { tenant: slug, error: 'the tenancy was closed' }
    try {
      const rows = await this.#options.inside(record, currentActor() ?? SYSTEM, () => em().execute<UsageRow[]>(MEASURE_DATABASE, [schema]))
      return outcomeOf(slug, rows[0] && databaseUsageOf(rows[0]), schema)
    } catch (error) {
      return { tenant: slug, error: this.#options.reasonOf(error) }
    }
  }

  async #known(slugs: readonly string[], where: object): Promise<void> {
    const rows = await this.#options.control().find(Tenant, where, { filters: false, fields: ['slug'] })
    const found = new Set(rows.map(({ slug }) => slug))
    const missing = slugs.find(slug => !found.has(slug))
    if (missing !== undefined) throw new TenantNotFoundError(missing)
  }
}

function outcomeOf(tenant: string, usage: SchemaUsage | undefined, schema: string): Outcome {
  if (usage === undefined) return { tenant, error: `the schema "${schema}" does not exist` }
  return { tenant, storage_bytes: usage.bytes, table_count: usage.tables, row_estimate: usage.rows }
}
