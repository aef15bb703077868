/** The rows of usage: one for each tenant and day, written many at a time. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { newId } from '../ids.ts'
import type { Isolation } from '../context/context.ts'
import type { UsageJson, UsageQuery } from './usage-types.ts'

export const USAGE_TABLE = 'public.tenantkit_tenant_usage'
/** When a measurement was last begun by the clock, in seconds since 1970; in the control plane's own table. */
const BEGUN_KEY = 'usage.begun'

/** What is written for one tenant. */
export interface NewUsage {
  readonly tenant_id: string
  readonly storage_bytes: number
  readonly table_count: number
  readonly row_estimate: number
}

/** Writes a day's rows; what was measured before on that day is replaced. */
export async function storeUsage(em: EntityManager, day: string, actor: string, usage: readonly NewUsage[]): Promise<void> {
  if (usage.length === 0) return
  const rows = JSON.stringify(usage.map(each => ({ id: newId(), ...each })))
  await em.execute(
    `insert into ${USAGE_TABLE} as u (id, tenant_id, day, storage_bytes, table_count, row_estimate, created_at, created_by, updated_at, updated_by)
     select r.id, r.tenant_id, ?::date, r.storage_bytes, r.table_count, r.row_estimate, clock_timestamp(), ?, clock_timestamp(), ?
     from jsonb_to_recordset(?::jsonb) as r (id uuid, tenant_id uuid, storage_bytes bigint, table_count int, row_estimate bigint)
     on conflict (tenant_id, day) do update set storage_bytes = excluded.storage_bytes, table_count = excluded.table_count,
       row_estimate = excluded.row_estimate, updated_at = excluded.updated_at, updated_by = excluded.updated_by, deleted_at = null, deleted_by = null`,
    [day, actor, actor, rows],
    'run',
  )
}

/** Removes what is older, and answers how many rows that were. */
export async function removeBefore(em: EntityManager, day: string, keepDays: number): Promise<number> {
  const [row] = await em.execute<{ removed: number }[]>(
    `with old as (delete from ${USAGE_TABLE} where day < ?::date - ?::int returning 1) select count(*)::int as removed from old`,
    [day, keepDays],
  )
  return row?.removed ?? 0
}

/** Whether a measurement is due, for whoever asks first: of several processes one is told so. */
export async function claimTurn(em: EntityManager, everySeconds: number): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `insert into public.tenantkit_control as c (key, value) values (?, floor(extract(epoch from clock_timestamp()))::bigint::text)
     on conflict (key) do update set value = excluded.value where excluded.value::bigint - c.value::bigint >= ? returning c.key`,
    [BEGUN_KEY, Math.floor(everySeconds)],
  )
  return rows.length > 0
}

/** The rows of a day, the largest tenants first. */
export async function listUsage(em: EntityManager, { day, tenants, limit }: UsageQuery & { readonly limit: number }): Promise<UsageJson[]> {
  const rows = await em.execute<(Omit<UsageJson, 'measured_at'> & { readonly isolation_mode: Isolation; measured_at: string | Date })[]>(
    `select u.day::text as day, t.slug as tenant, t.isolation_mode, u.storage_bytes::text as storage_bytes, u.table_count,
       u.row_estimate::text as row_estimate, u.updated_at as measured_at
     from ${USAGE_TABLE} u join public.tenantkit_tenant t on t.id = u.tenant_id
     where u.day = coalesce(?::date, (select max(day) from ${USAGE_TABLE})) and u.deleted_at is null ${tenants === undefined ? '' : 'and t.slug in (select jsonb_array_elements_text(?::jsonb))'}
     order by u.storage_bytes desc, t.slug limit ?`,
    [day ?? null, ...(tenants === undefined ? [] : [JSON.stringify(tenants)]), limit],
  )
  return rows.map(row => ({
    ...row,
    storage_bytes: Number(row.storage_bytes),
    row_estimate: Number(row.row_estimate),
    measured_at: new Date(row.measured_at).toISOString(),
  }))
}
