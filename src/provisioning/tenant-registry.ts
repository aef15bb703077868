/** The life of tenants: create, change, suspend, archive, restore, purge. Every rule stands here; HTTP, the command line and the back office only call it. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { randomBytes } from 'node:crypto'
import { settingsOf, withLogin } from '../connections/settings.ts'
import { actorKey } from '../context/context.ts'
import type { Actor, Isolation, TenantRef } from '../context/context.ts'
import type { KeyRing } from '../crypto/key-ring.ts'
import { open, seal } from '../crypto/seal.ts'
import {
  ConfirmationRequiredError,
  InvalidStateError,
  ProvisioningFailedError,
  TenantNotFoundError,
  ValidationFailedError,
} from '../errors.ts'
import { newId } from '../ids.ts'
import type { Migrations } from '../migrations/migrations.ts'
import type { MigrationTarget } from '../migrations/runner.ts'
import { CONNECTION_PURPOSE, PROVISIONING_PURPOSE } from '../strategies/database-strategy.ts'
import type { IsolationStrategy } from '../strategies/isolation-strategy.ts'
import { recordOf, type TenantDirectory, type TenantRecord, type TenantRow } from '../tenants/directory.ts'
import { Tenant, type CreatedResource, type TenantStatus } from '../tenants/entities.ts'
import { checkTenant, checkTenantChange, type CheckedTenant, type TenantInput } from '../tenants/input.ts'
import { assertAllowed, type LifeOperation } from '../tenants/life.ts'
import { save, takenError } from './store.ts'
import { reasonOf, runSteps, type Step } from './steps.ts'
import { withTenantLock } from './tenant-lock.ts'

/** What the registry is made from. */
export interface TenantRegistryOptions {
  /** A new EntityManager of the control plane. */
  readonly control: () => EntityManager
  readonly directory: TenantDirectory
  readonly strategies: Readonly<Record<Isolation, IsolationStrategy>>
  readonly migrations: Migrations
  readonly keyRing: KeyRing
  readonly prefix: string
  readonly directUrl: string
  /** The URL that auto tenants' own URLs are made from. */
  readonly tenantServerUrl: string
  /** Runs work inside a tenant whatever its status: the registry works on tenants that do not serve yet. */
  readonly inside: <T>(record: TenantRecord, actor: Actor | undefined, work: () => Promise<T>) => Promise<T>
  readonly seed: ((tenant: TenantRef) => Promise<void>) | undefined
  readonly bootstrapAdmin: ((input: AdminOf) => Promise<void>) | undefined
}

interface AdminOf {
  readonly tenant: TenantRef
  readonly email: string
  readonly password: string
}

/** What may change of a tenant. */
export interface TenantChange {
  readonly name?: string | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  readonly connectionString?: string | undefined
  readonly provisioningConnectionString?: string | undefined
}

/** The first administrator. */
export interface FirstAdmin {
  readonly email: string
  readonly password: string
}

const SEED_ACTOR: Actor = Object.freeze({ plane: 'system', id: 'seed', label: 'seed' })

export class TenantRegistry {
  readonly #options: TenantRegistryOptions

  constructor(options: TenantRegistryOptions) {
    this.#options = options
  }

  /** @throws VALIDATION_FAILED, RESERVED_NAME, SLUG_TAKEN, ALIAS_TAKEN, SCHEMA_TAKEN, PROVISIONING_FAILED, OPERATION_CONFLICT */
  async create(input: TenantInput & { readonly admin?: FirstAdmin | undefined }): Promise<TenantRow> {
    const checked = checkTenant(input, this.#options.prefix)
    if (input.admin !== undefined) this.#assertAdminPossible()
    return withTenantLock(this.#options.directUrl, checked.slug, async () => {
      const row = await this.#insert(checked)
      await this.#provision(row, input.admin)
      return this.#reload(row.slug)
    })
  }

  /** Provisions a tenant that is pending or failed. */
  async provision(slug: string, operation: 'provision' | 'provision_and_migrate' | 'retry', admin?: FirstAdmin): Promise<TenantRow> {
    if (admin !== undefined) this.#assertAdminPossible()
    return this.#locked(slug, operation, async row => {
      if (row.status === 'ready') await this.#migrate(row)
      else await this.#provision(row, admin)
    })
  }

  /** Applies what is pending in one tenant. Returns the names applied. */
  async migrate(slug: string): Promise<readonly string[]> {
    let names: readonly string[] = []
    await this.#locked(slug, 'migrate', async row => {
      names = await this.#migrate(row)
    })
    return names
  }

  async bootstrapAdmin(slug: string, admin: FirstAdmin): Promise<TenantRow> {
    this.#assertAdminPossible()
    return this.#locked(slug, 'bootstrap_admin', row => this.#admin(recordOf(row), admin, undefined))
  }

  suspend(slug: string): Promise<TenantRow> {
    return this.#locked(slug, 'suspend', row => this.#set(row, { status: 'suspended' }))
  }

  resume(slug: string): Promise<TenantRow> {
    return this.#locked(slug, 'resume', row => this.#set(row, { status: 'ready' }))
  }

  /** Archives: refused to everyone, all data kept. */
  archive(slug: string): Promise<TenantRow> {
    // One update, not a remove: the status and the deletion must never be seen apart.
    return this.#locked(slug, 'archive', row =>
      this.#set(row, { status: 'archived', formerStatus: row.status, deletedAt: new Date(), deletedBy: actorKey() }),
    )
  }

  restore(slug: string): Promise<TenantRow> {
    return this.#locked(slug, 'restore', row =>
      this.#set(row, { status: row.formerStatus ?? 'suspended', formerStatus: null, deletedAt: null, deletedBy: null }),
    )
  }

  /**
   * Drops what this framework created for the tenant and marks the row last. Returns what was really dropped.
   *
   * @throws CONFIRMATION_REQUIRED unless `confirm` is `DELETE <slug>`, INVALID_STATE unless archived, PROVISIONING_FAILED
   */
  async purge(
    slug: string,
    confirm: string | undefined,
  ): Promise<{ readonly row: TenantRow; readonly dropped: readonly CreatedResource[] }> {
    const phrase = `DELETE ${slug}`
    if (confirm !== phrase) throw new ConfirmationRequiredError(phrase)
    let dropped: readonly CreatedResource[] = []
    const row = await this.#locked(slug, 'purge', async found => {
      await this.#set(found, { status: 'purging' })
      const record = recordOf(found)
      try {
        // In reverse of their creation: the database before the role that may use it.
        dropped = await this.#options.strategies[record.ref.isolation].drop(record, [...found.createdResources].reverse())
      } catch (cause) {
        await this.#set(found, { statusReason: 'purging failed; purge it again' })
        throw new ProvisioningFailedError('drop', 'a resource of the tenant could not be dropped', { cause })
      }
      await this.#set(found, { status: 'purged', statusReason: null, createdResources: [], schemaVersion: null, schemaFingerprint: null })
    })
    return { row, dropped }
  }

  /** @throws VALIDATION_FAILED, CONFLICT */
  async update(slug: string, change: TenantChange): Promise<TenantRow> {
    return this.#locked(slug, undefined, async row => {
      checkTenantChange({ isolation: row.isolationMode, provisioning: row.provisioningMode, ...change })
      this.#refuseControlPlane(change.connectionString)
      const sealed = (purpose: string, value: string) => seal(this.#options.keyRing, value, { tenantId: row.id, purpose })
      if (change.connectionString !== undefined) await this.#tryConnection(row, sealed(CONNECTION_PURPOSE, change.connectionString))
      await this.#set(row, {
        ...(change.name === undefined ? {} : { name: change.name.trim() }),
        ...(change.metadata === undefined ? {} : { metadata: change.metadata }),
        ...(change.connectionString === undefined ? {} : { connectionString: sealed(CONNECTION_PURPOSE, change.connectionString) }),
        ...(change.provisioningConnectionString === undefined
          ? {}
          : { provisioningConnectionString: sealed(PROVISIONING_PURPOSE, change.provisioningConnectionString) }),
      })
    })
  }

  /** A connection string is stored only if it leads to the tenant's own database. A tenant without one yet has nothing to compare with. */
  async #tryConnection(row: TenantRow, connectionString: string): Promise<void> {
    if (row.status === 'failed' || row.status === 'pending') return
    try {
      const lease = await this.#options.strategies.database.connect({ ...recordOf(row), connectionString })
      lease.end()
    } catch (cause) {
      throw new ValidationFailedError([
        { path: 'connection_string', message: `does not lead to this tenant's database: ${reasonOf(cause)}` },
      ])
    }
  }

  /** Where a tenant's migrations run. */
  target(record: TenantRecord): MigrationTarget {
    const place = this.#options.strategies[record.ref.isolation].migrationPlace(record)
    return { key: record.ref.slug, scope: 'tenant', isolation: record.ref.isolation, schema: place.schema, url: place.url }
  }

  async #insert(checked: CheckedTenant): Promise<TenantRow> {
    const em = this.#options.control()
    const id = newId()
    const sealed = (purpose: string, value: string | undefined) =>
      value === undefined ? null : seal(this.#options.keyRing, value, { tenantId: id, purpose })
    const connectionString =
      checked.connectionString ?? (checked.isolation === 'database' ? this.#generatedUrl(checked.connectionAlias!) : undefined)
    this.#refuseControlPlane(connectionString)
    const row = em.create(Tenant, {
      id,
      slug: checked.slug,
      name: checked.name,
      isolationMode: checked.isolation,
      provisioningMode: checked.provisioning,
      schemaName: checked.schemaName ?? null,
      connectionAlias: checked.connectionAlias ?? null,
      connectionString: sealed(CONNECTION_PURPOSE, connectionString),
      provisioningConnectionString: sealed(PROVISIONING_PURPOSE, checked.provisioningConnectionString),
      metadata: checked.metadata,
      status: 'pending',
      createdResources: [],
    } as never) as TenantRow
    await em.flush().catch((error: unknown) => {
      throw takenError(error, checked)
    })
    return row
  }

  async #provision(row: TenantRow, admin: FirstAdmin | undefined): Promise<void> {
    await this.#set(row, { status: 'provisioning', statusReason: null })
    try {
      await runSteps(await this.#steps(row, admin))
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      await this.#set(row, { status: 'failed', statusReason: reason.slice(0, 2_000) })
      throw error
    }
  }

  async #steps(row: TenantRow, admin: FirstAdmin | undefined): Promise<Step[]> {
    const { strategies, migrations, seed } = this.#options
    const record = recordOf(row)
    const strategy = strategies[record.ref.isolation]
    const script = await migrations.preparedScript(record.ref.isolation)
    const created: CreatedResource[] = []
    const create: Step = {
      name: 'create',
      up: () =>
        strategy.create({ record, mode: record.provisioning }, script, async resource => {
          created.push(resource)
          await this.#set(row, { createdResources: [...created] })
        }),
      // What bears the tenant's mark is ours even if the process did not get to record it.
      down: async () => {
        const resources = record.provisioning === 'auto' ? this.#possibleResources(record) : [...created]
        await strategy.drop(record, resources.reverse())
        await this.#set(row, { createdResources: [] })
      },
    }
    const steps: Step[] = [create]
    if (script.code.length > 0) steps.push({ name: 'migrate', up: async () => void (await migrations.up(this.target(record))) })
    if (seed !== undefined) steps.push({ name: 'seed', up: () => this.#options.inside(record, SEED_ACTOR, () => seed(record.ref)) })
    if (admin !== undefined) steps.push({ name: 'bootstrap_admin', up: () => this.#admin(record, admin, undefined) })
    steps.push({
      name: 'ready',
      up: async () => {
        const head = await migrations.head('tenant')
        await this.#set(row, { status: 'ready', schemaVersion: head ?? null, schemaFingerprint: script.fingerprint, statusReason: null })
      },
    })
    return steps
  }

  async #migrate(row: TenantRow): Promise<readonly string[]> {
    const names = await this.#options.migrations.up(this.target(recordOf(row)))
    const head = await this.#options.migrations.head('tenant')
    if (row.schemaVersion !== (head ?? null)) await this.#set(row, { schemaVersion: head ?? null })
    return names
  }

  async #admin(record: TenantRecord, admin: FirstAdmin, actor: Actor | undefined): Promise<void> {
    await this.#options.inside(record, actor, () => this.#options.bootstrapAdmin!({ tenant: record.ref, ...admin }))
  }

  #assertAdminPossible(): void {
    if (this.#options.bootstrapAdmin === undefined) {
      throw new ValidationFailedError(
        [{ path: 'admin', message: 'this application makes no administrators' }],
        'Give the option bootstrapAdmin to defineTenancy.',
      )
    }
  }

  /** Everything that could have been made for a tenant; dropping looks at the marks. */
  #possibleResources(record: TenantRecord): CreatedResource[] {
    if (record.ref.isolation === 'schema') return [{ kind: 'schema', name: record.ref.schema }]
    const url = open(this.#options.keyRing, record.connectionString!, { tenantId: record.ref.id, purpose: CONNECTION_PURPOSE })
    const { user, dbName } = settingsOf(url)
    return [
      { kind: 'role', name: user! },
      { kind: 'database', name: dbName },
    ]
  }

  #generatedUrl(alias: string): string {
    return withLogin(this.#options.tenantServerUrl, { user: alias, password: randomBytes(32).toString('base64url'), database: alias })
  }

  #refuseControlPlane(connectionString: string | undefined): void {
    if (connectionString === undefined) return
    const [given, control] = [settingsOf(connectionString), settingsOf(this.#options.directUrl)]
    if (given.host === control.host && given.port === control.port && given.dbName === control.dbName) {
      throw new ValidationFailedError([{ path: 'connection_string', message: 'leads to the control plane' }])
    }
  }

  async #locked(slug: string, operation: LifeOperation | undefined, work: (row: TenantRow) => Promise<void>): Promise<TenantRow> {
    const before = await this.#reload(slug)
    return withTenantLock(this.#options.directUrl, before.slug, async () => {
      const row = await this.#reload(slug)
      if (operation !== undefined) assertAllowed(row.slug, operation, row.status)
      else if (row.status === 'purged' || row.status === 'purging')
        throw new InvalidStateError(row.slug, 'update', row.status, ['ready', 'suspended', 'failed', 'pending', 'archived'])
      await work(row)
      return this.#reload(slug)
    })
  }

  async #reload(slug: string): Promise<TenantRow> {
    const row = await this.#options.directory.row(slug)
    if (row === undefined) throw new TenantNotFoundError(slug)
    return row
  }

  async #managed(row: TenantRow): Promise<{ em: EntityManager; row: TenantRow }> {
    const em = this.#options.control()
    return { em, row: await em.findOneOrFail(Tenant, { id: row.id }, { filters: false }) }
  }

  async #set(row: TenantRow, change: Partial<Record<keyof TenantRow, unknown>> & { status?: TenantStatus }): Promise<void> {
    const { em, row: managed } = await this.#managed(row)
    Object.assign(managed, change)
    await save(em)
  }
}
