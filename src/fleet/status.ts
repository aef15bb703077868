/** How the fleet stands: tenants by version, those that failed, and the last runs. Two queries, whatever the number of tenants. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { TENANT_TABLE } from '../provisioning/migrating-mark.ts'
import { SERVING } from '../tenants/entities.ts'
import { isBehindSql, type ControlState, type Heads } from './behind.ts'
import { ROW_TABLE, SUMMARY, type RunSummary } from './run-store.ts'

/** Tenants that have the same last migration. */
export interface VersionCount {
  readonly version: string | null
  readonly tenants: number
  readonly current: boolean
}

/** A tenant that is behind because its last migration failed. */
export interface FailedTenant {
  readonly tenant: string
  readonly version: string | null
  readonly error: string
  readonly attempts: number
  readonly run: string
  /** ISO 8601, in UTC. */
  readonly failed_at: string | null
}

/** What `migrate:status` prints. */
export interface FleetStatus {
  readonly shared: { readonly head: string | null; readonly pending: readonly string[] }
  /** The last tenant migration. */
  readonly head: string | null
  /** Serving tenants, and how many of them are behind or are being migrated now. */
  readonly tenants: number
  readonly behind: number
  readonly migrating: number
  readonly versions: readonly VersionCount[]
  /** At most 200. */
  readonly failed: readonly FailedTenant[]
  /** The last ten, newest first. */
  readonly runs: readonly RunSummary[]
}

const FAILED_AT_MOST = 200
const RUNS = 10

export async function statusOf(
  em: EntityManager,
  heads: Heads,
  shared: { readonly names: readonly string[]; readonly state: ControlState | undefined },
): Promise<FleetStatus> {
  const pending = shared.names.filter(name => shared.state?.shared.includes(name) !== true)
  const empty = { tenants: 0, behind: 0, migrating: 0, versions: [], failed: [], runs: [] }
  const head = heads.schema.schemaVersion
  const start = { shared: { head: shared.names.at(-1) ?? null, pending }, head }
  if (shared.state === undefined) return { ...start, ...empty }
  const behind = isBehindSql(heads)
  const versions = (await em.execute(
    `select t.schema_version as version, ${behind} as behind, count(*)::int as tenants, count(*) filter (where t.migrating_until > now())::int as migrating
     from ${TENANT_TABLE} t where t.${SERVING} group by 1, 2 order by 1 nulls first, 2`,
  )) as { version: string | null; behind: boolean; tenants: number; migrating: number }[]
  const sum = (of: (row: (typeof versions)[number]) => number): number => versions.reduce((total, row) => total + of(row), 0)
  const [runs, failed] = [await runsOf(em), await failedOf(em, behind)]
  return {
    ...start,
    tenants: sum(row => row.tenants),
    behind: sum(row => (row.behind ? row.tenants : 0)),
    migrating: sum(row => row.migrating),
    versions: versions.map(row => ({ version: row.version, tenants: row.tenants, current: !row.behind })),
    failed,
    runs,
  }
}

/** The last runs, or one of them. */
export async function runsOf(em: EntityManager, id?: string): Promise<readonly RunSummary[]> {
  const rows = (await em.execute(
    `select ${SUMMARY} ${id === undefined ? '' : 'where u.id = ?'} order by u.started_at desc, u.id desc limit ${RUNS}`,
    id === undefined ? [] : [id],
  )) as (RunSummary & { started_at: string | Date; finished_at: string | Date | null })[]
  return rows.map(({ id: run, status, actor, total, applied, failed, skipped, pending, reason, started_at, finished_at }) => ({
    id: run,
    status,
    actor,
    total,
    applied,
    failed,
    skipped,
    pending,
    reason,
    started_at: iso(started_at)!,
    finished_at: iso(finished_at),
  }))
}

/** Those of the newest row of each tenant that is behind. */
async function failedOf(em: EntityManager, behind: string): Promise<readonly FailedTenant[]> {
  const rows = (await em.execute(
    `select t.slug as tenant, t.schema_version as version, r.error, r.attempt as attempts, r.run_id as run, r.finished_at as failed_at
     from ${TENANT_TABLE} t cross join lateral (select * from ${ROW_TABLE} r where r.tenant_id = t.id order by r.run_id desc limit 1) r
     where t.${SERVING} and ${behind} and r.status = 'failed' order by t.slug limit ${FAILED_AT_MOST}`,
  )) as (FailedTenant & { failed_at: string | Date | null })[]
  return rows.map(row => ({ ...row, failed_at: iso(row.failed_at) }))
}

function iso(value: string | Date | null): string | null {
  return value === null ? null : new Date(value).toISOString()
}
