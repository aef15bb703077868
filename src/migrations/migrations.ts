/** The two sets of migrations of an application, and what can be done with them. */
import { createHash } from 'node:crypto'
import type { MetadataStorage } from '@mikro-orm/postgresql'
import type { AnyEntity, ClassifiedEntities } from '../classification/classify.ts'
import type { Plane } from '../classification/scope.ts'
import type { Isolation } from '../context/context.ts'
import { SHARED_SCHEMA, quoteIdentifier, quoteLiteral } from '../naming.ts'
import type { MigrationRow } from './internals.ts'
import { SHARED_REFERENCE, refuseLoss } from './file-generator.ts'
import { Lanes } from './lanes.ts'
import { LOCK_PATIENCE, type LockPatience } from './lock-retries.ts'
import { MigrationSet, collect, type CollectedMigration } from './migration-set.ts'
import { migratorOf } from './migrator.ts'
import { RunningOrm, describe } from './orm.ts'
import { ReferenceBuilder, type Reference } from './reference.ts'
import { MigrationRunner, TRACKING_TABLE, trackingTableSql, type MigrationTarget, type Selection } from './runner.ts'
import { schemaGeneratorOf } from './schema-generator.ts'

/** What {@link Migrations} is made from. */
export interface MigrationSettings {
  /** All entities of the application and the framework, from `classify`. */
  readonly entities: ClassifiedEntities
  /** Those of them whose tables the framework's own migrations create. */
  readonly frameworkEntities: readonly AnyEntity[]
  /** The control plane, without a pooler: migrations need sessions. */
  readonly directUrl: string
  /** The folder that holds `shared/` and `tenant/`, absolute or relative to the working directory. */
  readonly path: string
  /** How many targets are migrated at once at most; further calls wait. Default 8. Each holds one connection. */
  readonly concurrency?: number
  /** How long a run waits for another one on the same target, in milliseconds, before `OPERATION_CONFLICT`. Default 60000. */
  readonly lockWaitMs?: number
  /** How locks on tables are waited for. Default: 8 tries of 2000 ms. */
  readonly locks?: LockPatience
  /** The entities as the runtime's ORM discovered them, for migrations that use an EntityManager. Default: discovered anew. */
  readonly metadata?: () => MetadataStorage
}

/** How a migration file is written. */
export interface CreateFileOptions {
  /** Whether it may lose data; it declares so. Default false. */
  readonly allowDestructive?: boolean
}

/** The statements that make a new tenant, each apart. */
export interface PreparedScript {
  /** Unqualified; run them in one transaction, with the search_path set locally to the new schema. The tracking table and its rows included. */
  readonly statements: readonly string[]
  /** The last migration that the statements hold, or `undefined`. */
  readonly head: string | undefined
  /** All migrations that the statements hold. */
  readonly names: readonly string[]
  /** SHA-256 of the statements and the names of code, in hexadecimal: the same for two tenants that were made alike. */
  readonly fingerprint: string
  /** What must still be run by `up` afterwards, in order: the first migration that is code, and all after it. */
  readonly code: readonly string[]
}

const DEFAULT_CONCURRENCY = 8
const DEFAULT_LOCK_WAIT_MS = 60_000

/**
 * The migrations of an application: the shared set for the control plane, the tenant set for each tenant.
 *
 * @example
 * const migrations = new Migrations({ entities: classify([...]), frameworkEntities: [], directUrl, path: 'migrations' })
 * await migrations.up(migrations.sharedTarget())
 * await migrations.close()
 */
export class Migrations {
  readonly #settings: MigrationSettings
  readonly #sets: Readonly<Record<Plane, MigrationSet>>
  readonly #running: RunningOrm
  readonly #lanes: Lanes
  readonly #runner: MigrationRunner
  readonly #collected = new Map<string, Promise<readonly CollectedMigration[]>>()
  readonly #scripts = new Map<string, Promise<PreparedScript>>()
  readonly #references = new Map<string, Promise<Reference>>()

  constructor(settings: MigrationSettings) {
    this.#settings = settings
    this.#sets = { shared: new MigrationSet('shared', settings.path), tenant: new MigrationSet('tenant', settings.path) }
    this.#running = new RunningOrm(settings, settings.directUrl)
    this.#lanes = new Lanes(url => this.#running.lane(url), settings.directUrl, settings.concurrency ?? DEFAULT_CONCURRENCY)
    const lockWaitMs = settings.lockWaitMs ?? DEFAULT_LOCK_WAIT_MS
    this.#runner = new MigrationRunner(this.#lanes, this.#running, { lockWaitMs, locks: this.locks })
  }

  /** How locks on tables are waited for. */
  get locks(): LockPatience {
    return this.#settings.locks ?? LOCK_PATIENCE
  }

  /** The target of the shared set: the control plane. */
  sharedTarget(): MigrationTarget {
    return { key: 'control plane', scope: 'shared', isolation: 'schema', schema: SHARED_SCHEMA, url: this.#settings.directUrl }
  }

  /** The names of a set, in the order in which they run: the framework's own first. */
  names(scope: Plane): Promise<readonly string[]> {
    return this.#sets[scope].names()
  }

  /** The last name of a set: what an up-to-date target has applied last. */
  async head(scope: Plane): Promise<string | undefined> {
    return (await this.names(scope)).at(-1)
  }

  /**
   * What the migrations of a set would do, in their order; no database is asked.
   *
   * @throws CONFIGURATION_INVALID for a file that holds no migration.
   */
  async collected(scope: Plane, isolation: Isolation = 'schema'): Promise<readonly CollectedMigration[]> {
    const key = `${scope}:${isolation}:${(await this.names(scope)).join('/')}`
    const collect = async () => this.#collect(scope, isolation)
    return remembered(this.#collected, key, collect)
  }

  /**
   * The statements that make a new tenant in one go, instead of one migration after the other. They are the migrations' own statements.
   *
   * @throws CONFIGURATION_INVALID for a file that holds no migration.
   * @example
   * const { statements, code } = await migrations.preparedScript('schema')
   */
  async preparedScript(isolation: Isolation): Promise<PreparedScript> {
    const key = `${isolation}:${(await this.names('tenant')).join('/')}`
    return remembered(this.#scripts, key, async () => prepared(await this.collected('tenant', isolation)))
  }

  /** The fingerprint of a tenant that has the migrations up to this one, and no other; `undefined` if there is no such migration. */
  async fingerprintAt(isolation: Isolation, name: string): Promise<string | undefined> {
    const collected = await this.collected('tenant', isolation)
    const place = collected.findIndex(each => each.name === name)
    return place === -1 ? undefined : prepared(collected.slice(0, place + 1)).fingerprint
  }

  /**
   * What the migrations make of an empty schema: what a tenant at that head should look like. Made once for each head and server version.
   *
   * @param head The last migration. Default: the last of all; `null`: none.
   * @param place A database of the server to compare on, and its major version. Default: the control plane's.
   * @throws CONFIGURATION_INVALID if there is no migration `head`, MIGRATION_FAILED
   */
  async reference(
    isolation: Isolation,
    head?: string | null,
    place?: { readonly url: string; readonly major: number },
  ): Promise<Reference> {
    const names = await this.names('tenant')
    const last = head === undefined ? (names.at(-1) ?? null) : head
    const key = JSON.stringify([isolation, place?.major, last, names])
    const cached = this.#references.get(key)
    if (cached !== undefined) return cached
    const built = this.#builder('tenant').build({ isolation, head: last, url: place?.url ?? this.#settings.directUrl })
    this.#references.set(key, built)
    built.catch(() => this.#references.delete(key))
    return built
  }

  /** What the shared migrations up to `head` make of an empty schema. @throws CONFIGURATION_INVALID also if one of them is no pure SQL */
  sharedReference(head: string | null): Promise<Reference> {
    return this.#builder('shared').build({ isolation: 'schema', head, url: this.#settings.directUrl })
  }

  /** The names that the target has not applied. @throws NOT_FOUND if its schema does not exist. */
  pending(target: MigrationTarget): Promise<readonly string[]> {
    return this.#runner.pending(this.#sets[target.scope], target)
  }

  /** What the target has recorded, oldest first. @throws NOT_FOUND if its schema does not exist. */
  executed(target: MigrationTarget): Promise<readonly MigrationRow[]> {
    return this.#runner.executed(target)
  }

  /**
   * Applies what is pending, each migration in its own transaction, and answers the names. Runs on the same target exclude each other.
   *
   * @throws NOT_FOUND if the schema does not exist, MIGRATION_FAILED, OPERATION_CONFLICT if another run does not end in time.
   */
  up(target: MigrationTarget, selection?: Selection): Promise<readonly string[]> {
    return this.#runner.up(this.#sets[target.scope], target, selection)
  }

  /**
   * Reverts the last applied migration (or the selected ones) and answers the names.
   *
   * @throws NOT_FOUND if the schema does not exist, MIGRATION_FAILED, OPERATION_CONFLICT, CONFIGURATION_INVALID if its file is gone.
   */
  down(target: MigrationTarget, selection?: Selection): Promise<readonly string[]> {
    return this.#runner.down(this.#sets[target.scope], target, selection)
  }

  /** Records a migration as applied, or removes the record, without running anything. */
  mark(target: MigrationTarget, name: string, applied: boolean): Promise<void> {
    return this.#runner.mark(this.#sets[target.scope], target, name, applied)
  }

  /**
   * Writes a migration file for what changed in the entities since the last one, and answers its path; `undefined` when nothing changed.
   * Compares with the snapshot beside the files and needs no database.
   *
   * @throws VALIDATION_FAILED for a bad name, CONFIGURATION_INVALID if there are files and no snapshot, DESTRUCTIVE_MIGRATION if data would be
   * lost and that is not allowed.
   */
  async createFile(scope: Plane, name: string, { allowDestructive = false }: CreateFileOptions = {}): Promise<string | undefined> {
    const set = this.#sets[scope]
    const fileName = await describe(
      { ...this.#settings, allowDestructive },
      set,
      { url: this.#settings.directUrl },
      async orm => (await migratorOf(orm).create(undefined, false, false, name)).fileName,
    )
    return fileName === '' ? undefined : set.fileOf(fileName)
  }

  /**
   * The statements that {@link createFile} would write, and those that would revert them; none when nothing changed. Writes nothing and
   * needs no database. With options, it is refused as {@link createFile} would be.
   *
   * @throws CONFIGURATION_INVALID if there are files and no snapshot, DESTRUCTIVE_MIGRATION if options do not allow it.
   */
  async planFile(scope: Plane, options?: CreateFileOptions): Promise<{ readonly up: readonly string[]; readonly down: readonly string[] }> {
    const diff = await describe(this.#settings, this.#sets[scope], { url: this.#settings.directUrl }, orm =>
      migratorOf(orm).getSchemaDiff(false, false),
    )
    const bare = (statements: readonly string[]) => statements.map(sql => sql.replace(/;\s*$/, '')).filter(sql => sql !== '')
    if (options !== undefined && options.allowDestructive !== true) refuseLoss(diff.up)
    return { up: bare(diff.up), down: bare(diff.down) }
  }

  /**
   * The statements that would make the tables of a target what the entities say; empty when they are so. Reads the catalog of the target's
   * schema alone, and changes nothing. Tables that no entity describes count in a tenant's schema; in `public` they may be an extension's.
   *
   * @throws NOT_FOUND if its schema does not exist.
   */
  async difference(target: MigrationTarget): Promise<readonly string[]> {
    await this.executed(target)
    const options = { wrap: false, dropTables: target.scope === 'tenant' }
    const sql = await describe(this.#settings, this.#sets[target.scope], target, orm => schemaGeneratorOf(orm).getUpdateSchemaSQL(options))
    const statements = sql
      .split(/;\n+/)
      .map(statement => statement.trim())
      .filter(statement => statement !== '')
    return target.isolation === 'schema' ? statements : statements.filter(statement => !SHARED_REFERENCE.test(statement))
  }

  /** Closes the connections. Runs under way end first. */
  close(): Promise<void> {
    return this.#lanes.close()
  }

  #builder(scope: Plane): ReferenceBuilder {
    return new ReferenceBuilder({
      set: this.#sets[scope],
      format: query => this.#running.format(query),
      up: (target, selection) => this.up(target, selection),
    })
  }

  async #collect(scope: Plane, isolation: Isolation): Promise<readonly CollectedMigration[]> {
    return collect(await this.#sets[scope].load(), isolation, query => this.#running.format(query))
  }
}

function prepared(collected: readonly CollectedMigration[]): PreparedScript {
  const firstCode = collected.findIndex(({ statements }) => statements === undefined)
  const pure = firstCode === -1 ? collected : collected.slice(0, firstCode)
  const table = quoteIdentifier(TRACKING_TABLE)
  const names = pure.map(({ name }) => name)
  const rows = names.length === 0 ? [] : [`insert into ${table} ("name") values ${names.map(name => `(${quoteLiteral(name)})`).join(', ')}`]
  const statements = [trackingTableSql(table), ...pure.flatMap(migration => migration.statements ?? []), ...rows]
  const code = collected.slice(pure.length).map(({ name }) => name)
  const made = JSON.stringify(code.length === 0 ? statements : { statements, code })
  const fingerprint = createHash('sha256').update(made).digest('hex')
  return Object.freeze({ statements, head: names.at(-1), names, fingerprint, code })
}

/** What was made for a key, or is being made; a failure is not kept. */
function remembered<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const cached = cache.get(key) ?? make()
  cache.set(key, cached)
  cached.catch(() => cache.delete(key))
  return cached
}
