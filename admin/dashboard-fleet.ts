/**
 * Figures of the whole fleet: a fixed number of queries, each over an index or over the registry once, none over a tenant. Whoever asks may
 * see the registry.
 */
import { controlEm } from '../src/context/context.ts'
import type { Tenancy } from '../src/tenancy.ts'
import type {
  Failure,
  FleetFigures,
  RunFigures,
  StatusCount,
  StorageFigures,
  TenantFigures,
  TenantGrowth,
  WaveFigures,
} from './dashboard-data.ts'

const TENANT = 'public.tenantkit_tenant'
const USAGE = 'public.tenantkit_tenant_usage'
/** How far back growth is drawn, in days: twelve weeks. */
const GROWTH_DAYS = 84
const STORAGE_DAYS = 30
const LARGEST = 10
const FAILURES = 8
/** Runs that are drawn at once. */
const RUNS = 3

/** What was taken in all on days that are past, and does not change: absent are days that nothing was measured on. */
export type PastDays = Map<string, { readonly bytes: number; readonly tenants: number } | null>

/** What the control plane tells of all tenants. `past` is filled, so that a page does not add up a month again. */
export async function fleetFigures(tenancy: Tenancy, past: PastDays, now = new Date()): Promise<FleetFigures> {
  const statuses = await sql<StatusCount>(`select status, count(*)::int as tenants from ${TENANT} group by status order by 2 desc, 1`)
  const { head, versions, behind, runs, failed } = await tenancy.fleet.status()
  const running = runs.filter(({ status }) => status === 'running')
  return {
    statuses,
    head,
    versions: versions.map(({ version, tenants, current }) => ({ version, tenants, current })),
    behind,
    runs: await withWaves(running.length > 0 ? running.slice(0, RUNS) : runs.slice(0, 1)),
    failures: await failures(failed),
    growth: await growth(statuses, now),
    storage: await storage(past),
  }
}

/** What the control plane tells of one tenant. */
export async function tenantFigures(id: string): Promise<TenantFigures | undefined> {
  const [tenant] = await sql<Omit<TenantFigures, 'days'>>(`select status, schema_version from ${TENANT} where id = ?`, [id])
  if (tenant === undefined) return undefined
  const days = await sql<{ day: string; bytes: string; tables: number; rows: string }>(
    `select day::text as day, storage_bytes::text as bytes, table_count as tables, row_estimate::text as rows from ${USAGE}
     where tenant_id = ? order by day desc limit ${STORAGE_DAYS}`,
    [id],
  )
  return { ...tenant, days: days.toReversed().map(row => ({ ...row, bytes: Number(row.bytes), rows: Number(row.rows) })) }
}

function sql<T extends object>(text: string, parameters: readonly unknown[] = []): Promise<T[]> {
  return controlEm().execute<T[]>(text, [...parameters])
}

type Runs = Awaited<ReturnType<Tenancy['fleet']['status']>>['runs']

async function withWaves(runs: Runs): Promise<readonly RunFigures[]> {
  if (runs.length === 0) return []
  const count = (...statuses: readonly string[]): string =>
    `count(*) filter (where status in (${statuses.map(each => `'${each}'`).join(', ')}))::int`
  const waves = await sql<WaveFigures & { run: string }>(
    `select run_id as run, wave, ${count('applied')} as applied, ${count('failed')} as failed, ${count('skipped')} as skipped,
       ${count('running')} as running, ${count('pending')} as pending
     from public.tenantkit_migration_run_tenant where run_id in (${runs.map(() => '?').join(', ')}) group by 1, 2 order by 1, 2`,
    runs.map(({ id }) => id),
  )
  return runs.map(({ id, status, actor, started_at, finished_at, reason }) => {
    const own = waves.filter(({ run }) => run === id).map(({ run: _, ...wave }) => wave)
    return { id, status, actor, started_at, finished_at, reason, waves: own }
  })
}

interface FailedEvent {
  readonly at: string | Date
  readonly action: string
  readonly tenant: string | null
  readonly code: string | null
  readonly tenant_id: string | null
  readonly reason: string | null
}

type FailedTenants = Awaited<ReturnType<Tenancy['fleet']['status']>>['failed']

/** Operations by their events, and tenants that the last run left behind. */
async function failures(all: FailedTenants): Promise<readonly Failure[]> {
  const failed = all.toSorted((a, b) => ((a.failed_at ?? '') < (b.failed_at ?? '') ? 1 : -1)).slice(0, FAILURES)
  // By the index of events that failed; of a tenant that has failed still, the registry keeps why.
  const events = await sql<FailedEvent>(
    `select e.at, e.action, e.details ->> 'slug' as tenant, e.details ->> 'code' as code, t.id as tenant_id,
       case when t.status = 'failed' then t.status_reason end as reason
     from (select * from public.tenantkit_audit_event where details ->> 'outcome' = 'failed' order by id desc limit ${FAILURES}) e
       left join ${TENANT} t on t.id::text = e.entity_id`,
  )
  const slugs = failed.map(({ tenant }) => tenant)
  const rows = slugs.length === 0 ? [] : await sql<{ id: string; slug: string }>(idsOf(slugs.length), slugs)
  const ids = new Map(rows.map(({ id, slug }) => [slug, id]))
  return [
    ...events.map(({ action, at, tenant, ...rest }) => ({
      ...rest,
      tenant: tenant ?? '',
      at: iso(at),
      what: action.replace(/^tenant\./, ''),
    })),
    ...failed.map(({ tenant, error, failed_at }) => ({
      at: failed_at ?? '',
      what: 'migration run',
      code: 'MIGRATION_FAILED',
      reason: error,
      tenant,
      tenant_id: ids.get(tenant) ?? null,
    })),
  ]
    .toSorted((a, b) => (a.at < b.at ? 1 : -1))
    .slice(0, FAILURES)
}

function idsOf(count: number): string {
  return `select id, slug from ${TENANT} where status <> 'purged' and slug in (${Array.from({ length: count }, () => '?').join(', ')})`
}

/** Every tenant that was ever made counts on the day it was made, whatever became of it. */
async function growth(statuses: readonly StatusCount[], now: Date): Promise<TenantGrowth> {
  const first = dayAfter(now.toISOString().slice(0, 10), 1 - GROWTH_DAYS)
  const days = await sql<{ day: string; tenants: number }>(
    `select (created_at at time zone 'UTC')::date::text as day, count(*)::int as tenants from ${TENANT}
     where created_at >= ?::timestamptz group by 1 order by 1`,
    [`${first}T00:00:00Z`],
  )
  const all = statuses.reduce((sum, { tenants }) => sum + tenants, 0)
  const made = new Map(days.map(({ day, tenants }) => [day, tenants]))
  return {
    before: all - days.reduce((sum, { tenants }) => sum + tenants, 0),
    days: Array.from({ length: GROWTH_DAYS }, (_, at) => {
      const day = dayAfter(first, at)
      return { day, tenants: made.get(day) ?? 0 }
    }),
  }
}

interface LargestRow {
  readonly id: string
  readonly tenant: string
  readonly bytes: string
  readonly day_before: string | null
  readonly bytes_before: string | null
}

async function storage(past: PastDays): Promise<StorageFigures | null> {
  const [last] = await sql<{ day: string | null }>(`select max(day)::text as day from ${USAGE}`)
  const day = last?.day
  if (!day) return null
  const days = await totals(past, day)
  const largest = await sql<LargestRow>(
    `select t.id, t.slug as tenant, u.storage_bytes::text as bytes, b.day::text as day_before, b.storage_bytes::text as bytes_before
     from (select * from ${USAGE} where day = ?::date order by storage_bytes desc limit ${LARGEST}) u
       join ${TENANT} t on t.id = u.tenant_id
       left join lateral (select day, storage_bytes from ${USAGE} o where o.tenant_id = u.tenant_id and o.day > u.day - ${STORAGE_DAYS}
         and o.day < u.day order by o.day limit 1) b on true
     order by u.storage_bytes desc, t.slug`,
    [day],
  )
  const { bytes, tenants } = days.at(-1)!
  return {
    day,
    bytes,
    tenants,
    largest: largest.map(row => ({
      ...row,
      bytes: Number(row.bytes),
      bytes_before: row.bytes_before === null ? null : Number(row.bytes_before),
    })),
    days: days.map(row => ({ day: row.day, bytes: row.bytes })),
  }
}

async function totals(past: PastDays, last: string): Promise<{ day: string; bytes: number; tenants: number }[]> {
  const wanted = Array.from({ length: STORAGE_DAYS }, (_, at) => dayAfter(last, at - STORAGE_DAYS + 1))
  for (const day of past.keys()) if (day < wanted[0]!) past.delete(day)
  const unknown = wanted.filter(day => !past.has(day))
  const rows = await sql<{ day: string; bytes: string; tenants: number }>(
    `select day::text as day, sum(storage_bytes)::text as bytes, count(*)::int as tenants from ${USAGE}
     where day in (${unknown.map(() => '?::date').join(', ')}) group by day`,
    unknown,
  )
  const found = new Map(rows.map(({ day, bytes, tenants }) => [day, { bytes: Number(bytes), tenants }]))
  // A measurement that began before midnight may write to the day before still.
  for (const day of unknown) if (day < dayAfter(last, -1)) past.set(day, found.get(day) ?? null)
  return wanted.flatMap(day => {
    const total = found.get(day) ?? past.get(day)
    return total == null ? [] : [{ day, ...total }]
  })
}

function dayAfter(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10)
}

function iso(value: string | Date): string {
  return new Date(value).toISOString()
}
