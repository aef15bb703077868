/** Brings one tenant to the head: by one message where its migrations are pure SQL, else by running them. */
import type { DirectClient } from '../connections/direct.ts'
import { withDirectClient } from '../connections/direct.ts'
import type { Isolation } from '../context/context.ts'
import { FastPath, recordedIn } from '../migrations/fast-path.ts'
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
  /** What it has recorded; `undefined` if that was not, or could not be, read together with others. */
  readonly recorded: readonly string[] | undefined
}

export class TenantWorker {
  readonly #options: TenantWorkerOptions
  readonly #fast: Readonly<Record<Isolation, FastPath>>

  private constructor(options: TenantWorkerOptions, fast: Readonly<Record<Isolation, FastPath>>) {
    this.#options = options
    this.#fast = fast
  }

  static async make(options: TenantWorkerOptions): Promise<TenantWorker> {
    const { migrations } = options
    const path = async (isolation: Isolation) => new FastPath(await migrations.collected('tenant', isolation), migrations.locks)
    return new TenantWorker(options, { schema: await path('schema'), database: await path('database') })
  }

  /** Reads what the schema tenants have recorded, for all of them at once. */
  async prepare(client: DirectClient, claimed: readonly Claimed[]): Promise<readonly Prepared[]> {
    const schemas = claimed.filter(({ record }) => record.ref.isolation === 'schema')
    const read = await recordedIn(
      client,
      schemas.map(({ record }) => this.#options.tenantMigration.target(record).schema),
    )
    const byId = new Map(schemas.map(({ record }, index) => [record.ref.id, read[index]]))
    return claimed.map(each => ({ ...each, recorded: byId.get(each.record.ref.id) }))
  }

  /** Whether the tenant may be used while it is migrated. What it lacks is read, or else taken from what the registry says of it. */
  staysOnline({ record, recorded }: Prepared): boolean {
    const fast = this.#fast[record.ref.isolation]
    if (recorded !== undefined) return fast.online(this.#pending(fast, recorded))
    const at = record.schemaVersion === undefined ? -1 : fast.names.indexOf(record.schemaVersion)
    // Unknown, or at the head and behind all the same: anything may be pending.
    return at !== -1 && at < fast.names.length - 1 && fast.online(fast.names.slice(at + 1))
  }

  /** Never throws. */
  async migrate(tenant: Prepared, session: WorkerSession): Promise<Done> {
    const { id, slug, isolation } = tenant.record.ref
    try {
      const { names, ahead } = await this.#migrate(tenant, session)
      const { schemaVersion, schemaFingerprint } = this.#options.heads[isolation]
      const stands = ahead ? {} : { version: schemaVersion, fingerprint: schemaFingerprint }
      return { id, slug, status: 'applied', names, ...stands }
    } catch (error) {
      const applied = (error as { details?: { applied?: readonly string[] } }).details?.applied ?? []
      const stands = applied.length === 0 ? {} : { version: applied.at(-1)! }
      return { id, slug, status: 'failed', names: applied, error: reasonOf(error), ...stands }
    }
  }

  async #migrate({ record, recorded }: Prepared, session: WorkerSession): Promise<Applied> {
    const { tenantMigration } = this.#options
    const { schema, url } = tenantMigration.target(record)
    if (record.ref.isolation === 'schema') return this.#on(record, recorded, statements => session.use(statements))
    const own = await withDirectClient(url, async client => {
      const [read] = await recordedIn(client, [schema])
      return this.#fastOn(record, read, statements => statements(client))
    }).catch(unlessLocked)
    return own === undefined ? this.#slowly(record) : this.#repaired(record, own)
  }

  async #on(record: TenantRecord, recorded: readonly string[] | undefined, use: Use): Promise<Applied> {
    const applied = await this.#fastOn(record, recorded, use).catch(unlessLocked)
    return applied === undefined ? this.#slowly(record) : this.#repaired(record, applied)
  }

  /** `undefined` where the long way must be gone: it says what is wrong, too. */
  async #fastOn(record: TenantRecord, recorded: readonly string[] | undefined, use: Use): Promise<Applied | undefined> {
    const { tenantMigration, allowDestructive } = this.#options
    const fast = this.#fast[record.ref.isolation]
    if (recorded === undefined) return undefined
    const ahead = recorded.some(name => !fast.names.includes(name))
    const names = this.#pending(fast, recorded)
    if (names.length === 0) return { names, ahead }
    if (!allowDestructive && recorded.length > 0 && fast.undeclared(names) !== undefined) return undefined
    const statements = fast.statements(tenantMigration.target(record).schema, names)
    if (statements === undefined) return undefined
    await use(client => fast.send(client, statements))
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

  async #repaired(record: TenantRecord, applied: Applied): Promise<Applied> {
    await this.#options.tenantMigration.repair(record, applied.names.length > 0)
    return applied
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

/** What is wrong is said by the long way; a table that stays locked was waited for long enough. */
function unlessLocked(error: unknown): undefined {
  if ((error as { code?: unknown }).code === '55P03') throw error
}

type Use = (work: (client: DirectClient) => Promise<void>) => Promise<void>
