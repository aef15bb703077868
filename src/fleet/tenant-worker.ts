/** Brings one tenant to the head: by one message where its migrations are pure SQL, else by running them. */
import type { DirectClient } from '../connections/direct.ts'
import { withDirectClient } from '../connections/direct.ts'
import type { Isolation } from '../context/context.ts'
import { FastPath, recordedIn, type FastTarget } from '../migrations/fast-path.ts'
import type { Migrations } from '../migrations/migrations.ts'
import { reasonOf } from '../provisioning/steps.ts'
import type { TenantMigration } from '../provisioning/tenant-migration.ts'
import type { TenantRecord } from '../tenants/directory.ts'
import type { Heads } from './behind.ts'
import type { Claimed, Done } from './run-store.ts'
import type { WorkerSession } from './sessions.ts'

export interface TenantWorkerOptions {
  readonly migrations: Migrations
  readonly tenantMigration: TenantMigration
  readonly heads: Heads
  readonly allowDestructive: boolean
}

/** A claimed tenant, with what is known of it before it is begun. */
export interface Prepared extends Claimed {
  /** What it has recorded, as the registry tells or as was read; `undefined` if that was not, or could not be, read together with others. */
  readonly recorded: readonly string[] | undefined
  /** Whether it is only the registry that says so. */
  readonly believed: boolean
}

export class TenantWorker {
  readonly #options: TenantWorkerOptions
  readonly #fast: Readonly<Record<Isolation, FastPath>>
  /** Of all migrations up to one, by isolation and its name. */
  readonly #fingerprints = new Map<string, string>()

  private constructor(options: TenantWorkerOptions, fast: Readonly<Record<Isolation, FastPath>>) {
    this.#options = options
    this.#fast = fast
  }

  static async make(options: TenantWorkerOptions): Promise<TenantWorker> {
    const { migrations } = options
    const path = async (isolation: Isolation) => new FastPath(await migrations.collected('tenant', isolation), migrations.locks)
    return new TenantWorker(options, { schema: await path('schema'), database: await path('database') })
  }

  /**
   * Finds out what the tenants have recorded. The registry is believed where it names a migration with the fingerprint of all up to it: what is
   * sent then fails if it is not so. Otherwise the schema tenants are read, all of them at once.
   */
  async prepare(client: DirectClient, claimed: readonly Claimed[]): Promise<readonly Prepared[]> {
    const told = new Map<string, readonly string[]>()
    for (const { record, fingerprint } of claimed) {
      const names = await this.#told(record, fingerprint)
      if (names !== undefined) told.set(record.ref.id, names)
    }
    const read = await this.read(
      client,
      claimed.filter(({ record: { ref } }) => !told.has(ref.id)),
    )
    const known = new Map(read.map(each => [each.record.ref.id, each]))
    return claimed.map(each => known.get(each.record.ref.id) ?? { ...each, recorded: told.get(each.record.ref.id), believed: true })
  }

  /** Reads what the schema tenants among them have recorded. */
  async read(client: DirectClient, claimed: readonly Claimed[]): Promise<readonly Prepared[]> {
    const schemas = claimed.filter(({ record }) => record.ref.isolation === 'schema')
    const read = await recordedIn(
      client,
      schemas.map(({ record }) => this.#options.tenantMigration.target(record).schema),
    )
    const known = new Map(schemas.map(({ record }, index) => [record.ref.id, read[index]]))
    return claimed.map(each => ({ ...each, recorded: known.get(each.record.ref.id), believed: false }))
  }

  /** What a tenant must have recorded by its row of the registry; `undefined` where that says nothing, or that nothing is pending. */
  async #told({ ref: { isolation }, schemaVersion }: TenantRecord, fingerprint: string | null): Promise<readonly string[] | undefined> {
    const { names } = this.#fast[isolation]
    const count = schemaVersion === undefined ? 0 : names.indexOf(schemaVersion) + 1
    if (schemaVersion === undefined || count === 0 || count === names.length) return undefined
    const key = `${isolation}:${schemaVersion}`
    const expected = this.#fingerprints.get(key) ?? (await this.#options.migrations.fingerprintAt(isolation, schemaVersion))!
    this.#fingerprints.set(key, expected)
    return expected === fingerprint ? names.slice(0, count) : undefined
  }

  /** How many tenants that lack the same as this one may be migrated in one transaction. */
  together(tenant: Prepared): number {
    const target = this.#togetherTarget(tenant)
    return target === undefined ? 1 : this.#fast.schema.together(target.names)
  }

  /** Whether one of these lacks what the other does. */
  alike(one: Prepared, other: Prepared): boolean {
    const [a, b] = [this.#togetherTarget(one), this.#togetherTarget(other)]
    return a !== undefined && b !== undefined && a.names.join('/') === b.names.join('/')
  }

  /** All of them, or none: `undefined`. Never throws. */
  async migrateTogether(tenants: readonly Prepared[], session: WorkerSession): Promise<readonly Done[] | undefined> {
    const targets = tenants.map(tenant => this.#togetherTarget(tenant)!)
    try {
      await session.use(client => this.#fast.schema.sendTogether(client, targets))
    } catch {
      return undefined
    }
    const done: Done[] = []
    for (const [index, { record }] of tenants.entries()) done.push(await this.#endOf(record, targets[index]!.names))
    return done
  }

  /** What is left of a tenant whose migrations are applied: the rights of its role. */
  async #endOf(record: TenantRecord, names: readonly string[]): Promise<Done> {
    const { id, slug } = record.ref
    const { schemaVersion: version, schemaFingerprint: fingerprint } = this.#options.heads.schema
    try {
      await this.#options.tenantMigration.repair(record, true)
      return { id, slug, status: 'applied', names, version, fingerprint }
    } catch (error) {
      return { id, slug, status: 'failed', names, error: reasonOf(error), version }
    }
  }

  #togetherTarget({ record, recorded }: Prepared): FastTarget | undefined {
    const fast = this.#fast[record.ref.isolation]
    if (record.ref.isolation !== 'schema' || recorded === undefined || !recorded.every(name => fast.names.includes(name))) return undefined
    const names = this.#pending(fast, recorded)
    if (names.length === 0 || !this.#permitted(fast, recorded, names)) return undefined
    return { schema: this.#options.tenantMigration.target(record).schema, recorded, names }
  }

  /** Whether the tenant may be used while it is migrated. What it lacks is read, or else taken from what the registry says of it. */
  staysOnline({ record, recorded }: Prepared): boolean {
    const fast = this.#fast[record.ref.isolation]
    if (recorded !== undefined) return fast.online(this.#pending(fast, recorded))
    const at = record.schemaVersion === undefined ? -1 : fast.names.indexOf(record.schemaVersion)
    // Unknown, or at the head and behind all the same: anything may be pending.
    return at !== -1 && at < fast.names.length - 1 && fast.online(fast.names.slice(at + 1))
  }

  /** Never throws; `undefined` where the registry was believed and it is not so: to be read, and tried again. */
  async migrate(tenant: Prepared, session: WorkerSession): Promise<Done | undefined> {
    const { id, slug, isolation } = tenant.record.ref
    try {
      const { names, ahead } = await this.#migrate(tenant, session)
      const { schemaVersion, schemaFingerprint } = this.#options.heads[isolation]
      const stands = ahead ? {} : { version: schemaVersion, fingerprint: schemaFingerprint }
      return { id, slug, status: 'applied', names, ...stands }
    } catch (error) {
      if (error instanceof MisbelievedError) return undefined
      const applied = (error as { details?: { applied?: readonly string[] } }).details?.applied ?? []
      const stands = applied.length === 0 ? {} : { version: applied.at(-1)! }
      return { id, slug, status: 'failed', names: applied, error: reasonOf(error), ...stands }
    }
  }

  async #migrate({ record, recorded, believed }: Prepared, session: WorkerSession): Promise<Applied> {
    const { tenantMigration } = this.#options
    const { schema, url } = tenantMigration.target(record)
    const withOwn: Use = work => (record.ref.isolation === 'schema' ? session.use(work) : withDirectClient(url, work))
    const applied = await withOwn(async client => {
      const known = recorded ?? (record.ref.isolation === 'database' ? (await recordedIn(client, [schema]))[0] : undefined)
      return this.#fastOn(record, known, client)
    }).catch((error: unknown) => unlessLocked(error, believed))
    if (applied === undefined) return this.#slowly(record)
    await tenantMigration.repair(record, applied.names.length > 0)
    return applied
  }

  /** `undefined` where the long way must be gone: it says what is wrong, too. */
  async #fastOn(record: TenantRecord, recorded: readonly string[] | undefined, client: DirectClient): Promise<Applied | undefined> {
    const { tenantMigration } = this.#options
    const fast = this.#fast[record.ref.isolation]
    if (recorded === undefined) return undefined
    const ahead = recorded.some(name => !fast.names.includes(name))
    const names = this.#pending(fast, recorded)
    if (names.length === 0) return { names, ahead }
    if (!this.#permitted(fast, recorded, names)) return undefined
    const statements = fast.statements({ schema: tenantMigration.target(record).schema, recorded, names })
    if (statements === undefined) return undefined
    await fast.send(client, statements)
    return { names, ahead }
  }

  /** One migration after the other, each in its own transaction. */
  async #slowly(record: TenantRecord): Promise<Applied> {
    const { tenantMigration, migrations, allowDestructive } = this.#options
    const names = await tenantMigration.apply(record, { allowDestructive })
    const known = await migrations.names('tenant')
    const recorded = await migrations.executed(tenantMigration.target(record))
    return { names, ahead: recorded.some(({ name }) => !known.includes(name)) }
  }

  /** Whether none of them loses data that may not be lost. */
  #permitted(fast: FastPath, recorded: readonly string[], names: readonly string[]): boolean {
    return this.#options.allowDestructive || recorded.length === 0 || fast.undeclared(names) === undefined
  }

  #pending(fast: FastPath, recorded: readonly string[]): readonly string[] {
    const done = new Set(recorded)
    return fast.names.filter(name => !done.has(name))
  }
}

interface Applied {
  readonly names: readonly string[]
  /** Whether it has migrations that this program does not know: what the registry says of it is not less true than what we know. */
  readonly ahead: boolean
}

/** PostgreSQL's `division_by_zero`: what is recorded is not what was believed. */
const MISBELIEVED = '22012'

/** What is wrong is said by the long way; a table that stays locked was waited for long enough. */
function unlessLocked(error: unknown, believed: boolean): undefined {
  const { code } = error as { code?: unknown }
  if (code === MISBELIEVED && believed) throw new MisbelievedError()
  if (code === '55P03') throw error
}

/** The registry says of a tenant what is not so. */
class MisbelievedError extends Error {}

type Use = <T>(work: (client: DirectClient) => Promise<T>) => Promise<T>
