/** What a run writes: its rows, many at a time, over the session that holds the locks of its tenants. */
import type { DirectClient } from '../connections/direct.ts'
import { quoteLiteral } from '../naming.ts'
import { TENANT_TABLE, notifying } from '../provisioning/migrating-mark.ts'
import { tenantLockKey } from '../provisioning/tenant-lock.ts'
import { recordOf, type TenantRecord } from '../tenants/directory.ts'
import { SERVING } from '../tenants/entities.ts'
import type { RunPlan, RunStatus } from '../tenants/migration-runs.ts'

/** A run with its numbers. */
export interface RunSummary {
  readonly id: string
  /** `interrupted`: it says that it runs, and no process works on it. */
  readonly status: RunStatus | 'interrupted'
  readonly actor: string
  readonly total: number
  readonly applied: number
  readonly failed: number
  readonly skipped: number
  /** Not begun, or not ended. */
  readonly pending: number
  readonly reason: string | null
  /** ISO 8601, in UTC. */
  readonly started_at: string
  readonly finished_at: string | null
}

/** A tenant whose lock this run holds. */
export interface Claimed {
  readonly record: TenantRecord
  /** Of its tables, by the registry. */
  readonly fingerprint: string | null
  readonly key: string
}

/** What became of a claimed tenant. */
export interface Done {
  readonly id: string
  readonly slug: string
  readonly status: 'applied' | 'failed'
  readonly names: readonly string[]
  readonly error?: string
  /** Where it stands now, if that is known. */
  readonly version?: string | null
  readonly fingerprint?: string | null
}

export const RUN_TABLE = 'public.tenantkit_migration_run'
export const ROW_TABLE = 'public.tenantkit_migration_run_tenant'
/** Waves grow: what is wrong with a migration shows in the first. */
export const WAVES: readonly number[] = [10, 100, 1_000]
/** Older ones are removed when a run begins. */
const RUNS_KEPT = 100

/** Which tenants a run takes. */
export interface RunChoice {
  /** A condition over the tenant `t`. */
  readonly where: string
  readonly canary: readonly string[]
  readonly waves: readonly number[]
}

/** A run's summary, as columns of `u`, the run. Whether somebody works on it is seen by its lock. */
export const SUMMARY = `u.id, u.actor, u.reason, u.started_at, u.finished_at,
  case when u.status = 'running' and pg_try_advisory_xact_lock(hashtextextended('tenantkit run ' || u.id, 0)) then 'interrupted' else u.status end as status,
  n.* from ${RUN_TABLE} u cross join lateral (select count(*)::int as total, count(*) filter (where r.status = 'applied')::int as applied,
    count(*) filter (where r.status = 'failed')::int as failed, count(*) filter (where r.status = 'skipped')::int as skipped,
    count(*) filter (where r.status in ('pending', 'running'))::int as pending from ${ROW_TABLE} r where r.run_id = u.id) n`

export class RunStore {
  readonly #client: DirectClient
  readonly #id: string
  readonly #actor: string

  constructor(client: DirectClient, id: string, actor: string) {
    this.#client = client
    this.#id = id
    this.#actor = actor
  }

  /** Writes the run and a row for each of its tenants, and answers how many they are. */
  async create(plan: RunPlan, toVersion: string | null, choice: RunChoice): Promise<number> {
    await this.#client.query(
      `insert into ${RUN_TABLE} (id, status, actor, to_version, plan, started_at) values ($1, 'running', $2, $3, $4, clock_timestamp())`,
      [this.#id, this.#actor, toVersion, JSON.stringify(plan)],
    )
    await this.#client.query(
      `with old as (delete from ${RUN_TABLE} where status <> 'running' and id in (select id from ${RUN_TABLE} order by started_at desc, id desc offset ${RUNS_KEPT}) returning id)
       delete from ${ROW_TABLE} r using old where r.run_id = old.id`,
    )
    return this.#insert(choice, 0)
  }

  /** Takes in tenants that are behind by now and no part of the run, as a wave of their own, and answers how many they are. */
  newcomers(where: string, lastWave: number): Promise<number> {
    const unknown = `not exists (select from ${ROW_TABLE} r where r.run_id = ${quoteLiteral(this.#id)} and r.tenant_id = t.id)`
    return this.#insert({ where: `${where} and ${unknown}`, canary: [], waves: [] }, lastWave)
  }

  /** Takes the run up again: what failed gets another try. Answers how it was planned, or `undefined` if there is no such run. */
  async reopen(): Promise<RunPlan | undefined> {
    const { rows } = await this.#client.query<{ plan: RunPlan }>(
      `update ${RUN_TABLE} set status = 'running', finished_at = null, reason = null where id = $1 returning plan`,
      [this.#id],
    )
    if (rows[0] === undefined) return undefined
    await this.#client.query(`update ${ROW_TABLE} set status = 'pending', finished_at = null where run_id = $1 and status = 'failed'`, [
      this.#id,
    ])
    return rows[0].plan
  }

  /** Shows to others that somebody works on the run, as long as the session lasts. */
  async hold(): Promise<void> {
    await this.#client.query(`select pg_advisory_lock_shared(hashtextextended('tenantkit run ' || $1::text, 0))`, [this.#id])
  }

  /** The first wave that has not ended, and the last there is. */
  async wave(): Promise<{ readonly next: number | undefined; readonly last: number }> {
    const { rows } = await this.#client.query<{ next: number | null; last: number | null }>(
      `select min(wave) filter (where status in ('pending', 'running')) as next, max(wave) as last from ${ROW_TABLE} where run_id = $1`,
      [this.#id],
    )
    return { next: rows[0]?.next ?? undefined, last: rows[0]?.last ?? 0 }
  }

  /**
   * Takes tenants of a wave whose locks are free. A row that says `running` while its lock is free was left by a run that is dead. Those not
   * taken are `busy`: somebody works on them.
   */
  async claim(
    wave: number,
    limit: number,
    except: readonly string[],
  ): Promise<{ readonly claimed: readonly Claimed[]; readonly busy: readonly string[]; readonly seen: number }> {
    const { rows } = await this.#client.query<{ id: string; slug: string }>(
      `select tenant_id as id, slug from ${ROW_TABLE} where run_id = $1 and wave = $2 and status in ('pending', 'running')
       and tenant_id <> all($3::uuid[]) order by slug limit $4`,
      [this.#id, wave, except, limit],
    )
    if (rows.length === 0) return { claimed: [], busy: [], seen: 0 }
    const keys = new Map(rows.map(({ id, slug }) => [id, tenantLockKey(slug)]))
    const { rows: locks } = await this.#client.query<{ id: string; held: boolean }>(
      `select id, pg_try_advisory_lock(key) as held from unnest($1::uuid[], $2::bigint[]) as k (id, key)`,
      [[...keys.keys()], [...keys.values()]],
    )
    const held = locks.filter(lock => lock.held).map(({ id }) => id)
    // Looked at again with the lock: somebody may have ended with it meanwhile.
    const { rows: begun } = await this.#client.query<ClaimedRow>(BEGIN, [this.#id, held])
    const claimed = begun
      .filter(({ now }) => now === 'running')
      .toSorted((a, b) => (a.slug < b.slug ? -1 : 1))
      .map(row => ({ record: recordOf(recordedRow(row)), fingerprint: row.schema_fingerprint, key: keys.get(row.id)! }))
    const ours = new Set(claimed.map(({ record }) => record.ref.id))
    await this.#unlock(held.filter(id => !ours.has(id)).map(id => keys.get(id)!))
    return { claimed, busy: locks.filter(lock => !lock.held).map(({ id }) => id), seen: rows.length }
  }

  /** Gives tenants back that were claimed and not begun. */
  async giveBack(claimed: readonly Claimed[]): Promise<void> {
    if (claimed.length === 0) return
    await this.#client.query(
      `update ${ROW_TABLE} set status = 'pending', attempt = attempt - 1 where run_id = $1 and tenant_id = any($2::uuid[])`,
      [this.#id, claimed.map(({ record }) => record.ref.id)],
    )
    await this.#unlock(claimed.map(({ key }) => key))
  }

  /**
   * Stores what became of tenants, in their rows of the run and in the registry, where they serve again; then frees their locks. One message:
   * the session is used for nothing else, and when this fails the run ends with it.
   */
  async finish(done: readonly Done[], keys: readonly string[]): Promise<void> {
    const finish = finishSql(this.#id, done, this.#actor)
    const free = `select pg_advisory_unlock(key) from unnest(array[${keys.join(', ')}]::bigint[]) as k (key)`
    await this.#client.query(['begin', finish, 'commit', free].join(';\n'))
  }

  /**
   * From here on nothing is waited for to be on the disk. What a crash of the server could take from these rows is found out again: each
   * tenant's own tracking table, which is written durably, is what counts.
   */
  async hurry(): Promise<void> {
    await this.#client.query('set synchronous_commit to off')
  }

  async #unlock(keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#client.query('select pg_advisory_unlock(key) from unnest($1::bigint[]) as k (key)', [keys])
  }

  /** Of a wave, or of all: how many there are, how many failed, and how many are not done with. */
  async counts(wave?: number): Promise<{ readonly failed: number; readonly total: number; readonly left: number }> {
    const { rows } = await this.#client.query<{ failed: number; total: number; left: number }>(
      `select count(*) filter (where status = 'failed')::int as failed, count(*) filter (where status in ('pending', 'running'))::int as "left",
       count(*)::int as total from ${ROW_TABLE} where run_id = $1 and ($2::int is null or wave = $2)`,
      [this.#id, wave ?? null],
    )
    return rows[0]!
  }

  /** Whether tenants are being provisioned now: by a program of another version they might come to be behind. */
  async provisioning(): Promise<boolean> {
    const { rows } = await this.#client.query<{ slug: string }>(`select slug from ${TENANT_TABLE} where status = 'provisioning' limit 200`)
    if (rows.length === 0) return false
    // Only looked at: taking one, if for a moment, could refuse somebody's operation.
    const { rows: held } = await this.#client.query(
      `select from pg_locks where locktype = 'advisory' and objsubid = 1 and database = (select oid from pg_database where datname = current_database())
       and ((classid::bigint << 32) | objid::bigint) = any($1::bigint[]) limit 1`,
      [rows.map(({ slug }) => tenantLockKey(slug))],
    )
    return held.length > 0
  }

  async end(status: Exclude<RunStatus, 'running'>, reason: string | undefined): Promise<void> {
    await this.#client.query(`update ${RUN_TABLE} set status = $2, reason = $3, finished_at = clock_timestamp() where id = $1`, [
      this.#id,
      status,
      reason ?? null,
    ])
  }

  async #insert({ where, canary, waves }: RunChoice, lastWave: number): Promise<number> {
    const { rows } = await this.#client.query<{ count: number }>(
      `with added as (insert into ${ROW_TABLE} (run_id, tenant_id, slug, wave, status, from_version)
         select $1, id, slug, case when canary then 0 else ${lastWave} + ${waveSql(waves)} end, 'pending', schema_version from (
           select t.id, t.slug, t.schema_version, t.slug = any($2) as canary, row_number() over (partition by t.slug = any($2) order by t.slug) as n
           from ${TENANT_TABLE} t where t.${SERVING} and ${where}) as chosen
         on conflict do nothing returning 1)
       select count(*)::int as count from added`,
      [this.#id, canary],
    )
    return rows[0]!.count
  }
}

/** The number of a wave, from 1, by the place `n` of a tenant, from 1. The last size repeats. */
function waveSql(sizes: readonly number[]): string {
  if (sizes.length === 0) return '1'
  let end = 0
  const cases = sizes.slice(0, -1).map((size, index) => `when n <= ${(end += size)} then ${index + 1}`)
  return `case ${cases.join(' ')} when true then ${sizes.length} + (n - ${end + 1}) / ${sizes.at(-1)!} end`
}

const COLUMNS = `t.id, t.slug, t.name, t.isolation_mode, t.schema_name, t.status, t.provisioning_mode, t.connection_alias, t.connection_string,
  t.provisioning_connection_string, t.schema_version, t.schema_fingerprint, t.migrating_until`

interface ClaimedRow {
  readonly now: string
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly isolation_mode: 'schema' | 'database'
  readonly schema_name: string | null
  readonly status: TenantRecord['status']
  readonly provisioning_mode: 'auto' | 'manual'
  readonly connection_alias: string | null
  readonly connection_string: string | null
  readonly provisioning_connection_string: string | null
  readonly schema_version: string | null
  readonly schema_fingerprint: string | null
  readonly migrating_until: Date | null
}

function recordedRow(row: ClaimedRow): Parameters<typeof recordOf>[0] {
  return {
    id: row.id,
    slug: row.slug,
    name: row.name,
    isolationMode: row.isolation_mode,
    schemaName: row.schema_name,
    status: row.status,
    provisioningMode: row.provisioning_mode,
    connectionAlias: row.connection_alias,
    connectionString: row.connection_string,
    provisioningConnectionString: row.provisioning_connection_string,
    schemaVersion: row.schema_version,
    migratingUntil: row.migrating_until,
  }
}

/** A tenant that does not serve any more is left alone. */
const BEGIN = `update ${ROW_TABLE} r set status = case when t.${SERVING} then 'running' else 'skipped' end, attempt = r.attempt + 1,
    from_version = t.schema_version, started_at = clock_timestamp(), finished_at = case when t.${SERVING} then null else clock_timestamp() end
  from ${TENANT_TABLE} t where r.run_id = $1 and r.tenant_id = any($2::uuid[]) and r.status in ('pending', 'running') and t.id = r.tenant_id
  returning r.status as now, ${COLUMNS}`

/** The ids are named once more as a list: by a join alone PostgreSQL would read the whole registry, for a handful of rows. */
const finishSql = (
  run: string,
  done: readonly Done[],
  actor: string,
  ids = done.map(({ id }) => quoteLiteral(id)).join(', '),
): string => `with done as (
    select * from jsonb_to_recordset(${quoteLiteral(JSON.stringify(done))}::jsonb) as d (id uuid, status text, error text, names jsonb, version text, fingerprint text)),
  rows as (update ${ROW_TABLE} r set status = d.status, error = d.error, names = d.names, to_version = d.version, finished_at = clock_timestamp()
    from done d where r.run_id = ${quoteLiteral(run)} and r.tenant_id in (${ids}) and r.tenant_id = d.id),
  changed as (update ${TENANT_TABLE} t set migrating_until = null, schema_version = coalesce(d.version, t.schema_version),
      schema_fingerprint = coalesce(d.fingerprint, t.schema_fingerprint), version = t.version + 1, updated_at = clock_timestamp(), updated_by = ${quoteLiteral(actor)}
    from done d where t.id in (${ids}) and t.id = d.id and (t.migrating_until is not null
      or (coalesce(d.version, t.schema_version), coalesce(d.fingerprint, t.schema_fingerprint)) is distinct from (t.schema_version, t.schema_fingerprint))
    returning t.id, t.slug)
  ${notifying('changed')}`
