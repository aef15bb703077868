/**
 * Runs migrations on one target: each in a transaction of its own, once, and by one run at a time.
 *
 * Two things keep two runs apart. An advisory lock per target, held by the run's session, makes the second one wait. And the name is
 * recorded before the statements run: its primary key stops a second run that the lock did not.
 */
import type { Configuration, EntityManager, Transaction } from '@mikro-orm/postgresql'
import type { Plane } from '../classification/scope.ts'
import { currentContext, runInContext, type Actor, type Isolation } from '../context/context.ts'
import { ConfigurationError, TenancyError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import { MigrationBusyError, MigrationFailedError, SchemaNotFoundError } from './errors.ts'
import type { MigrationRow } from './internals.ts'
import type { Lane, Lanes } from './lanes.ts'
import { placeMigration } from './migration.ts'
import type { MigrationSet, NamedMigration } from './migration-set.ts'

/** The table that records what was applied. It stands beside the tables it speaks of. */
export const TRACKING_TABLE = 'tenantkit_migration' as Identifier

/** What the tracking table is created by; its name is the key, so that no name is recorded twice. */
export const trackingTableSql = (table: string): string =>
  `create table if not exists ${table} ("name" varchar(255) not null, "executed_at" timestamptz not null default now(), constraint "${TRACKING_TABLE}_pkey" primary key ("name"))`

/** Where migrations run. */
export interface MigrationTarget {
  /** What a person calls it: the slug of a tenant, or `control plane`. */
  readonly key: string
  readonly scope: Plane
  readonly isolation: Isolation
  /** The schema of the tables. It must exist. */
  readonly schema: Identifier
  /** The direct URL (no pooler) of the database that the schema is in. */
  readonly url: string
}

/** Which of the pending (or applied) migrations; everything that is absent does not limit. */
export interface Selection {
  readonly only?: readonly string[]
  readonly from?: string
  readonly to?: string
}

/** What a migration's code may use. */
export interface RunnerOrm {
  readonly config: Configuration
  driverOn(lane: Lane): {
    createEntityManager(useContext?: boolean): EntityManager
    execute(query: unknown, params?: readonly unknown[], method?: string, transaction?: unknown): Promise<unknown>
  }
}

const LOCK_POLL_MS = 50
const MIGRATOR: Actor = { plane: 'system', id: 'migrations', label: 'migrations' }

export class MigrationRunner {
  readonly #lanes: Lanes
  readonly #orm: RunnerOrm
  readonly #lockWaitMs: number

  constructor(lanes: Lanes, orm: RunnerOrm, lockWaitMs: number) {
    this.#lanes = lanes
    this.#orm = orm
    this.#lockWaitMs = lockWaitMs
  }

  /** What is recorded, oldest first. Empty where no migration ran yet. */
  executed(target: MigrationTarget): Promise<readonly MigrationRow[]> {
    return this.#lanes.use(target.url, async lane => (await recorded(lane, target)) ?? [])
  }

  /** The names that are not applied yet, in order. */
  async pending(set: MigrationSet, target: MigrationTarget): Promise<readonly string[]> {
    const names = await set.names()
    const done = new Set((await this.executed(target)).map(({ name }) => name))
    return names.filter(name => !done.has(name))
  }

  /** Applies what is pending, in order, and answers the names. */
  async up(set: MigrationSet, target: MigrationTarget, selection: Selection = {}): Promise<readonly string[]> {
    return this.#lanes.use(target.url, async lane => {
      // Nothing to do is the usual answer, and it needs neither the lock nor the files.
      const names = await set.names()
      const before = await recorded(lane, target)
      if (before !== undefined && pendingOf(names, before, selection).length === 0) return []
      await this.#lock(lane, target)
      const rows = await recorded(lane, target)
      if (rows === undefined && names.length === 0) await lane.query(trackingTableSql(trackingTable(target)))
      const pending = new Set(pendingOf(names, rows ?? [], selection))
      const migrations = pending.size === 0 ? [] : (await set.load()).filter(({ name }) => pending.has(name))
      return this.#each(lane, target, 'up', migrations)
    })
  }

  /** Reverts the last applied one, or those of the selection, the last one first. */
  async down(set: MigrationSet, target: MigrationTarget, selection: Selection = {}): Promise<readonly string[]> {
    return this.#lanes.use(target.url, async lane => {
      await this.#lock(lane, target)
      const rows = (await recorded(lane, target)) ?? []
      const migrations = await set.load()
      const order = new Map(migrations.map(({ name }, index) => [name, index]))
      const applied = rows.toSorted(
        (a, b) => a.executed_at.getTime() - b.executed_at.getTime() || (order.get(a.name) ?? -1) - (order.get(b.name) ?? -1),
      )
      const chosen = toRevert(applied.map(({ name }) => name).toReversed(), selection)
      const missing = chosen.filter(name => !order.has(name))
      if (missing.length > 0)
        throw new ConfigurationError([`${missing.join(', ')} cannot be reverted on ${target.key}: there is no such file any more.`])
      return this.#each(
        lane,
        target,
        'down',
        chosen.map(name => migrations[order.get(name)!]!),
      )
    })
  }

  /** Records a migration as applied, or takes the record away, without running it. */
  async mark(set: MigrationSet, target: MigrationTarget, name: string, applied: boolean): Promise<void> {
    if (applied && !(await set.names()).includes(name))
      throw new ConfigurationError([`There is no ${set.plane} migration ${JSON.stringify(name)}.`])
    await this.#lanes.use(target.url, async lane => {
      await this.#lock(lane, target)
      if ((await recorded(lane, target)) === undefined) await lane.query(trackingTableSql(trackingTable(target)))
      await lane.query(applied ? `${recordSql(target, name)} on conflict do nothing` : forgetSql(target, name))
    })
  }

  async #each(lane: Lane, target: MigrationTarget, way: 'up' | 'down', migrations: readonly NamedMigration[]): Promise<readonly string[]> {
    const done: string[] = []
    for (const migration of migrations) {
      try {
        await this.#run(lane, target, way, migration)
      } catch (error) {
        throw error instanceof TenancyError && !(error instanceof ConfigurationError)
          ? error
          : new MigrationFailedError(target.key, migration.name, error, done)
      }
      done.push(migration.name)
    }
    return done
  }

  async #run(lane: Lane, target: MigrationTarget, way: 'up' | 'down', { name, migration: Class }: NamedMigration): Promise<void> {
    const driver = this.#orm.driverOn(lane)
    const migration = new Class(driver, this.#orm.config)
    placeMigration(migration, { schema: target.schema, isolation: target.isolation })
    const record = way === 'up' ? recordSql(target, name) : forgetSql(target, name)
    const work = async (transaction?: Transaction): Promise<void> => {
      if (transaction !== undefined) migration.setTransactionContext(transaction)
      await inContext(async () => migration[way]())
      for (const query of migration.getQueries()) await driver.execute(query, [], 'run', transaction)
    }
    if (!migration.isTransactional()) {
      if (target.scope === 'tenant')
        throw new ConfigurationError([`${name}: a tenant's migration must be transactional; its search_path is.`])
      await work()
      await lane.query(trackingTableSql(trackingTable(target)))
      await lane.query(record)
      return
    }
    await lane.transactional(async transaction => {
      // For this transaction only: nothing of it may stay on the session.
      await lane.query(`set local search_path to ${quoteIdentifier(target.schema)}`, transaction)
      await lane.query(trackingTableSql(trackingTable(target)), transaction)
      await lane.query(record, transaction)
      await work(transaction)
    })
  }

  /**
   * Takes the target's lock, which the lane gives back with the session. Asked for again and again instead of waited for in PostgreSQL: a
   * waiting statement holds a snapshot, which other sessions' `create index concurrently` would wait for in turn.
   */
  async #lock(lane: Lane, target: MigrationTarget): Promise<void> {
    const key = quoteLiteral(`tenantkit migrations of ${target.schema}`)
    const sql = `select pg_try_advisory_lock(hashtextextended(current_database() || ${key}, 0)) as locked`
    for (const end = Date.now() + this.#lockWaitMs; ;) {
      if ((await lane.query<{ locked: boolean }>(sql))[0]?.locked === true) return
      if (Date.now() >= end) throw new MigrationBusyError(target.key, this.#lockWaitMs)
      await new Promise(resolve => setTimeout(resolve, LOCK_POLL_MS))
    }
  }
}

/** What is recorded, oldest first, or `undefined` where there is no table yet. @throws NOT_FOUND if there is no such schema. */
async function recorded(lane: Lane, target: MigrationTarget): Promise<readonly MigrationRow[] | undefined> {
  try {
    const rows = await lane.query<{ name: string; at: number }>(
      `select "name", (extract(epoch from "executed_at") * 1000)::float8 as at from ${trackingTable(target)} order by "executed_at", "name"`,
    )
    return rows.map(({ name, at }) => ({ name, executed_at: new Date(at) }))
  } catch (error) {
    if ((error as { code?: string }).code !== '42P01') throw error
  }
  const [row] = await lane.query<{ found: boolean }>(
    `select to_regnamespace(${quoteLiteral(quoteIdentifier(target.schema))}) is not null as found`,
  )
  if (row?.found !== true) throw new SchemaNotFoundError(target.schema, target.key)
  return undefined
}

function pendingOf(names: readonly string[], rows: readonly MigrationRow[], { only, from, to }: Selection): readonly string[] {
  const done = new Set(rows.map(({ name }) => name))
  for (const name of [...(only ?? []), from, to]) refuseUnknown(name, names)
  const first = from === undefined ? 0 : names.indexOf(from) + 1
  const last = to === undefined ? names.length : names.indexOf(to) + 1
  return names.slice(first, last).filter(name => !done.has(name) && (only === undefined || only.includes(name)))
}

/** `to` is the one that stays; `'0'` reverts all. */
function toRevert(newestFirst: readonly string[], { only, to }: Selection): readonly string[] {
  if (only !== undefined) return newestFirst.filter(name => only.includes(name))
  if (to === '0') return newestFirst
  if (to === undefined) return newestFirst.slice(0, 1)
  refuseUnknown(to, newestFirst)
  return newestFirst.slice(0, newestFirst.indexOf(to))
}

/** The stock migrator takes a misspelt name for "all". */
function refuseUnknown(name: string | undefined, names: readonly string[]): void {
  if (name !== undefined && !names.includes(name)) throw new ConfigurationError([`There is no migration ${JSON.stringify(name)} here.`])
}

function trackingTable(target: MigrationTarget): string {
  return `${quoteIdentifier(target.schema)}.${quoteIdentifier(TRACKING_TABLE)}`
}

function recordSql(target: MigrationTarget, name: string): string {
  return `insert into ${trackingTable(target)} ("name") values (${quoteLiteral(name)})`
}

function forgetSql(target: MigrationTarget, name: string): string {
  return `delete from ${trackingTable(target)} where "name" = ${quoteLiteral(name)}`
}

/** Rows that a migration's code writes are attributed: to whoever acts, else to the migrations. */
function inContext<T>(work: () => Promise<T>): Promise<T> {
  const active = currentContext()
  return runInContext(
    { tenant: undefined, actor: active?.actor ?? MIGRATOR, em: undefined, control: undefined, requestId: active?.requestId },
    work,
  )
}
