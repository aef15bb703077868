/**
 * Runs migrations on one target: each in a transaction of its own, once, and by one run at a time.
 *
 * Two things keep two runs apart. An advisory lock per target, held by the run's session, makes the second one wait. And the name is
 * recorded before the statements run: its primary key stops a second run that the lock did not.
 */
import type { Configuration, EntityManager } from '@mikro-orm/postgresql'
import type { Plane } from '../classification/scope.ts'
import { currentContext, runInContext, type Actor, type Isolation } from '../context/context.ts'
import { ConfigurationError, TenancyError } from '../errors.ts'
import { quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import { runApart } from './apart.ts'
import { isDestructive } from './destructive.ts'
import { DestructiveMigrationError, MigrationBusyError, MigrationFailedError, SchemaNotFoundError } from './errors.ts'
import type { MigrationRow } from './internals.ts'
import type { Lane, Lanes } from './lanes.ts'
import { lockTimeoutSql, withLockRetries, type LockPatience } from './lock-retries.ts'
import { declarationsOf, placeMigration } from './migration.ts'
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
  /** Whether migrations may lose data that do not declare it. Default false. */
  readonly allowDestructive?: boolean
}

/** What a migration's code may use. */
export interface RunnerOrm {
  readonly config: Configuration
  driverOn(lane: Lane): {
    createEntityManager(useContext?: boolean): EntityManager
    execute(query: unknown, params?: readonly unknown[], method?: string, transaction?: unknown): Promise<unknown>
  }
}

/** How long a run waits for others. */
export interface RunnerPatience {
  /** For another run on the same target, in milliseconds. */
  readonly lockWaitMs: number
  /** For locks on tables. */
  readonly locks: LockPatience
}

/** One migration on its way. */
interface Move {
  readonly way: 'up' | 'down'
  /** Whether it may lose data without having declared it. */
  readonly mayLose: boolean
}

const LOCK_POLL_MS = 50
const MIGRATOR: Actor = { plane: 'system', id: 'migrations', label: 'migrations' }

export class MigrationRunner {
  readonly #lanes: Lanes
  readonly #orm: RunnerOrm
  readonly #patience: RunnerPatience

  constructor(lanes: Lanes, orm: RunnerOrm, patience: RunnerPatience) {
    this.#lanes = lanes
    this.#orm = orm
    this.#patience = patience
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
      // Where nothing was applied yet there is nothing to lose.
      const mayLose = selection.allowDestructive === true || (rows ?? []).length === 0
      return this.#each(lane, target, { way: 'up', mayLose }, migrations)
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
        { way: 'down', mayLose: true },
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

  async #each(lane: Lane, target: MigrationTarget, move: Move, migrations: readonly NamedMigration[]): Promise<readonly string[]> {
    const done: string[] = []
    for (const migration of migrations) {
      try {
        await withLockRetries(this.#patience.locks, () => this.#run(lane, target, move, migration))
      } catch (error) {
        throw error instanceof TenancyError && !(error instanceof ConfigurationError)
          ? error
          : new MigrationFailedError(target.key, migration.name, error, done)
      }
      done.push(migration.name)
    }
    return done
  }

  async #run(lane: Lane, target: MigrationTarget, { way, mayLose }: Move, { name, migration: Class }: NamedMigration): Promise<void> {
    const driver = this.#orm.driverOn(lane)
    const migration = new Class(driver, this.#orm.config)
    placeMigration(migration, { schema: target.schema, isolation: target.isolation })
    const table = trackingTable(target)
    const record = way === 'up' ? recordSql(target, name) : forgetSql(target, name)
    const statements = async (): Promise<readonly unknown[]> => {
      await inContext(async () => migration[way]())
      const queries = migration.getQueries()
      const losing = queries.find(query => typeof query === 'string' && isDestructive(query)) as string | undefined
      if (losing !== undefined && !mayLose && !declarationsOf(migration).destructive) throw new DestructiveMigrationError(name, losing)
      return queries
    }
    if (!migration.isTransactional()) {
      await lane.query(trackingTableSql(table))
      const execute = (query: unknown) => driver.execute(query, [], 'run')
      return runApart(lane, { schema: target.schema, table, name, way, record, statements, execute })
    }
    await lane.transactional(async transaction => {
      // For this transaction only: nothing of it may stay on the session.
      await lane.query(lockTimeoutSql(this.#patience.locks), transaction)
      await lane.query(`set local search_path to ${quoteIdentifier(target.schema)}`, transaction)
      await lane.query(trackingTableSql(table), transaction)
      await lane.query(record, transaction)
      migration.setTransactionContext(transaction)
      for (const query of await statements()) await driver.execute(query, [], 'run', transaction)
    })
  }

  /**
   * Takes the target's lock, which the lane gives back with the session. Asked for again and again instead of waited for in PostgreSQL: a
   * waiting statement holds a snapshot, which other sessions' `create index concurrently` would wait for in turn.
   */
  async #lock(lane: Lane, target: MigrationTarget): Promise<void> {
    const sql = `select pg_try_advisory_lock(${lockKeySql(target.schema)}) as locked`
    for (const end = Date.now() + this.#patience.lockWaitMs; ;) {
      if ((await lane.query<{ locked: boolean }>(sql))[0]?.locked === true) return
      if (Date.now() >= end) throw new MigrationBusyError(target.key, this.#patience.lockWaitMs)
      await new Promise(resolve => setTimeout(resolve, LOCK_POLL_MS))
    }
  }
}

/** The key of a target's lock, as an expression. */
export function lockKeySql(schema: Identifier): string {
  return `hashtextextended(current_database() || ${quoteLiteral(`tenantkit migrations of ${schema}`)}, 0)`
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
