/** `tenantkit usage`: what does each tenant take? */
import type { Tenancy } from '../../tenancy.ts'
import { LIST_MAX, isDay } from '../../usage/usage-types.ts'
import { table } from '../output.ts'
import type { Progress } from '../progress.ts'
import type { Session } from '../session.ts'
import { listOf, wholeNumber, type Register } from './command.ts'

type Report = Awaited<ReturnType<Tenancy['usage']['collect']>>

interface Asked {
  readonly tenants: readonly string[] | undefined
  readonly limit: number | undefined
  readonly day: string | undefined
}

const SHOWN = 20

export const usage: Register = (program, choose) =>
  program.command(
    'usage',
    'Measure what each tenant takes, and keep it by day',
    command =>
      command
        .option('tenant', { type: 'string', requiresArg: true, describe: 'Only these tenants: slugs, separated by commas' })
        .option('limit', { type: 'number', requiresArg: true, describe: 'How many of the largest are listed', default: SHOWN })
        .coerce('limit', wholeNumber('limit'))
        .option('day', { type: 'string', requiresArg: true, describe: 'List this day, such as 2026-01-31, and measure nothing' })
        .check(({ tenant, day, limit }) => {
          if (listOf(tenant)?.length === 0) throw new Error('--tenant names no tenant.')
          if (limit !== undefined && limit > LIST_MAX) throw new Error(`--limit is at most ${LIST_MAX}.`)
          if (day !== undefined && !isDay(day)) throw new Error('--day must be a day such as 2026-01-31.')
          return true
        })
        .example('$0 usage', 'once a day: rows of today, and the largest tenants'),
    ({ tenant, limit, day }) => choose(session => run(session, { tenants: listOf(tenant), limit, day })),
  )

async function run(session: Session, { tenants, limit, day }: Asked): Promise<void> {
  const { output } = session
  let progress: Progress | undefined
  const [report, rows] = await session.asSystem(async tenancy => {
    const made: Report | undefined =
      day === undefined
        ? await tenancy.usage.collect({
            tenants,
            total: count => void (progress = output.progress('Measuring', 'tenants', count)),
            measured: outcome => progress?.step(outcome.tenant, 'error' in outcome ? outcome.error : undefined),
          })
        : undefined
    progress?.end()
    return [made, await tenancy.usage.list({ day: made?.day ?? day, tenants, limit })] as const
  })
  output.result({ ...(report ?? { day }), tenants: rows }, () => [
    `day: ${report?.day ?? day}`,
    ...table(
      ['tenant', 'isolation', 'storage', 'tables', 'rows (estimate)'],
      rows.map(row => [row.tenant, row.isolation_mode, sizeOf(row.storage_bytes), String(row.table_count), String(row.row_estimate)]),
    ),
    ...(report === undefined ? [] : [`${report.measured} tenants measured, ${report.failed.length} failed`]),
  ])
}

/** Decimal units: what disks are sold in. */
function sizeOf(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}
