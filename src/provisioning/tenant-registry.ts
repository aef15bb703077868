/** The life of tenants: create, change, suspend, archive, restore, purge. Every rule stands here; HTTP, the command line and the back office only call it. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { randomBytes } from 'node:crypto'
import { withLogin } from '../connections/settings.ts'
import { em } from '../context/context.ts'
import type { Actor, Isolation, TenantRef } from '../context/context.ts'
import type { KeyRing } from '../crypto/key-ring.ts'
import { seal } from '../crypto/seal.ts'
import { ConfirmationRequiredError, ProvisioningFailedError, TenantNotFoundError, ValidationFailedError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Migrations } from '../migrations/migrations.ts'
import type { Selection } from '../migrations/runner.ts'
import { CONNECTION_PURPOSE, PROVISIONING_PURPOSE } from '../strategies/database-strategy.ts'
import type { IsolationStrategy } from '../strategies/isolation-strategy.ts'
import { recordOf, type TenantDirectory, type TenantRecord, type TenantRow } from '../tenants/directory.ts'
import { Tenant, type CreatedResource } from '../tenants/entities.ts'
import { checkTenant, checkTenantChange, type CheckedTenant, type TenantChange, type TenantInput } from '../tenants/input.ts'
import { UNPROVISIONED, assertAllowed, assertChangeable, type LifeOperation } from '../tenants/life.ts'
import { refuseControlPlane } from './control-plane.ts'
import { checkFirstAdmin, type CheckPassword, type FirstAdmin } from './first-admin.ts'
import { UNWATCHED, inOneStep, told, type OperationResult, type Progress } from './progress.ts'
import { includes, resourcesToDrop } from './resources.ts'
import { changeTenant, takenError, tenantById, type RowChange } from './store.ts'
import { reasonOf, runSteps, type Step } from './steps.ts'
import { withTenantLock } from './tenant-lock.ts'
import type { TenantMigration } from './tenant-migration.ts'

export type { TenantChange }

type ServerOf = Pick<CheckedTenant, 'connectionAlias' | 'provisioningConnectionString'>

/** What the registry is made from. */
export interface TenantRegistryOptions {
  /** A new EntityManager of the control plane. */
  readonly control: () => EntityManager
  readonly directory: TenantDirectory
  readonly strategies: Readonly<Record<Isolation, IsolationStrategy>>
  readonly migrations: Migrations
  readonly tenantMigration: TenantMigration
  readonly keyRing: KeyRing
  readonly prefix: string
  readonly directUrl: string
  /** The URL that auto tenants' own URLs are made from. */
  readonly tenantServerUrl: string
  /** Runs work inside a tenant whatever its status: the registry works on tenants that do not serve yet. */
  readonly inside: <T>(record: TenantRecord, actor: Actor | undefined, work: () => Promise<T>) => Promise<T>
  readonly seed: ((tenant: TenantRef) => Promise<void>) | undefined
  readonly bootstrapAdmin: ((input: AdminOf) => Promise<void>) | undefined
  readonly checkPassword: CheckPassword
}

interface AdminOf extends FirstAdmin {
  readonly tenant: TenantRef
}

const PURGE_AGAIN = 'purging failed; purge it again'
const UNMARKED = "a resource on record exists and does not bear the tenant's mark"
const labelOf = ({ kind, name }: CreatedResource): string => `${kind} ${name}`

const SEED_ACTOR: Actor = Object.freeze({ plane: 'system', id: 'seed', label: 'seed' })

export class TenantRegistry {
  readonly #options: TenantRegistryOptions

  constructor(options: TenantRegistryOptions) {
    this.#options = options
  }

  /** @throws VALIDATION_FAILED, RESERVED_NAME, SLUG_TAKEN, ALIAS_TAKEN, SCHEMA_TAKEN, PROVISIONING_FAILED, OPERATION_CONFLICT */
  async create(input: TenantInput & { readonly admin?: FirstAdmin | undefined }, progress: Progress = UNWATCHED): Promise<TenantRow> {
    const checked = checkTenant(input, this.#options.prefix)
    this.#checkAdmin(input.admin)
    return withTenantLock(this.#options.directUrl, checked.slug, async () => {
      const row = await this.#insert(checked)
      // As if it had been found pending: nothing was tried before, so nothing but what is recorded is undone.
      const pending = { ...row, status: 'pending' } as TenantRow
      await told(row, progress, () => this.#run(pending, [], input.admin, progress))
      return this.#reload(row.slug)
    })
  }

  /** Provisions a tenant that is pending, abandoned or failed. A ready one is migrated: `applied` then has the names. */
  async provision(
    slug: string,
    operation: 'provision' | 'provision_and_migrate' | 'retry',
    admin?: FirstAdmin,
    progress: Progress = UNWATCHED,
  ): Promise<{ readonly row: TenantRow; readonly applied: readonly string[] | undefined }> {
    this.#checkAdmin(admin)
    const { tenantMigration } = this.#options
    let applied: readonly string[] | undefined
    const change = async (found: TenantRow) => {
      if (found.status !== 'ready') return this.#provision(found, admin, progress)
      applied = await inOneStep(progress, 'migrate', () => tenantMigration.up(found))
      return { applied }
    }
    const row = await this.#locked(slug, operation, change, progress)
    return { row, applied }
  }

  /** Applies what is pending in one tenant, or reverts the last migration there. */
  async migrate(
    slug: string,
    way: 'up' | 'down' = 'up',
    selection: Selection = {},
    progress: Progress = UNWATCHED,
  ): Promise<{ readonly row: TenantRow; readonly names: readonly string[] }> {
    let names: readonly string[] = []
    const change = async (found: TenantRow) => {
      names = await inOneStep(progress, 'migrate', () => this.#options.tenantMigration[way](found, selection))
      return { applied: names }
    }
    return { row: await this.#locked(slug, 'migrate', change, progress), names }
  }

  async bootstrapAdmin(slug: string, admin: FirstAdmin, progress: Progress = UNWATCHED): Promise<TenantRow> {
    this.#checkAdmin(admin)
    return this.#locked(slug, 'bootstrap_admin', row => this.#admin(recordOf(row), admin, undefined), progress)
  }

  suspend(slug: string, progress: Progress = UNWATCHED): Promise<TenantRow> {
    return this.#locked(slug, 'suspend', row => this.#set(row, { status: 'suspended' }), progress)
  }

  resume(slug: string, progress: Progress = UNWATCHED): Promise<TenantRow> {
    return this.#locked(slug, 'resume', row => this.#set(row, { status: 'ready' }), progress)
  }

  /** Archives: refused to everyone, all data kept. */
  archive(slug: string, progress: Progress = UNWATCHED): Promise<TenantRow> {
    // One update, not a remove: the status and the deletion must never be seen apart.
    return this.#locked(slug, 'archive', row => this.#set(row, { status: 'archived', formerStatus: row.status }, 'delete'), progress)
  }

  restore(slug: string, progress: Progress = UNWATCHED): Promise<TenantRow> {
    const change = (row: TenantRow) => this.#set(row, { status: row.formerStatus ?? 'suspended', formerStatus: null }, 'restore')
    return this.#locked(slug, 'restore', change, progress)
  }

  /**
   * Drops what this framework created for the tenant and marks the row last. Returns what was really dropped.
   *
   * @throws TENANT_NOT_FOUND, CONFIRMATION_REQUIRED unless `confirm` is `DELETE <slug>`, INVALID_STATE unless archived, PROVISIONING_FAILED
   */
  async purge(
    slug: string,
    confirm: string | undefined,
    progress: Progress = UNWATCHED,
  ): Promise<{ readonly row: TenantRow; readonly dropped: readonly CreatedResource[] }> {
    await this.#reload(slug)
    const phrase = `DELETE ${slug}`
    if (confirm !== phrase) throw new ConfirmationRequiredError(phrase)
    let dropped: readonly CreatedResource[] = []
    const row = await this.#locked(
      slug,
      'purge',
      async found => {
        await this.#set(found, { status: 'purging' })
        let kept: readonly CreatedResource[] = []
        try {
          ;({ dropped, kept } = await this.#drop(found))
        } catch (cause) {
          await this.#set(found, { statusReason: PURGE_AGAIN })
          throw new ProvisioningFailedError('drop', 'a resource of the tenant could not be dropped', { cause })
        }
        if (kept.length > 0) {
          await this.#set(found, { statusReason: PURGE_AGAIN })
          throw new ProvisioningFailedError('drop', UNMARKED, { leftovers: kept.map(labelOf) })
        }
        await this.#set(found, { status: 'purged', statusReason: null, schemaVersion: null, schemaFingerprint: null })
        return { dropped }
      },
      progress,
    )
    return { row, dropped }
  }

  /** @throws VALIDATION_FAILED, CONFLICT */
  async update(slug: string, change: TenantChange): Promise<TenantRow> {
    return this.#locked(slug, undefined, async row => {
      assertChangeable(row, change)
      checkTenantChange({ isolation: row.isolationMode, provisioning: row.provisioningMode, ...change })
      refuseControlPlane(this.#options.directUrl, change.connectionString)
      const sealed = (purpose: string, value: string) => seal(this.#options.keyRing, value, { tenantId: row.id, purpose })
      const connectionString = this.#movedUrl(row, change) ?? change.connectionString
      if (connectionString !== undefined) await this.#tryConnection(row, sealed(CONNECTION_PURPOSE, connectionString))
      await this.#set(row, {
        ...(change.name === undefined ? {} : { name: change.name.trim() }),
        ...(change.metadata === undefined ? {} : { metadata: change.metadata }),
        ...(connectionString === undefined ? {} : { connectionString: sealed(CONNECTION_PURPOSE, connectionString) }),
        ...(change.provisioningConnectionString === undefined
          ? {}
          : { provisioningConnectionString: sealed(PROVISIONING_PURPOSE, change.provisioningConnectionString) }),
      })
    })
  }

  /** A connection string is stored only if it leads to the tenant's own database. A tenant without one yet has nothing to compare with. */
  async #tryConnection(row: TenantRow, connectionString: string): Promise<void> {
    if (UNPROVISIONED.includes(row.status)) return
    try {
      // The first statement opens a connection, which is asked whose it is.
      const trial = { ...recordOf(row), connectionString, trial: true }
      await this.#options.inside(trial, undefined, async () => void (await em().execute('select 1')))
    } catch (cause) {
      throw new ValidationFailedError([
        { path: 'connection_string', message: `does not lead to this tenant's database: ${reasonOf(cause)}` },
      ])
    }
  }

  async #insert(checked: CheckedTenant): Promise<TenantRow> {
    const em = this.#options.control()
    const id = newId()
    const sealed = (purpose: string, value: string | undefined) =>
      value === undefined ? null : seal(this.#options.keyRing, value, { tenantId: id, purpose })
    const connectionString = checked.connectionString ?? (checked.isolation === 'database' ? this.#generatedUrl(checked) : undefined)
    refuseControlPlane(this.#options.directUrl, connectionString)
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
      // Nothing can come between: the lock is held.
      status: 'provisioning',
      createdResources: [],
    } as never) as TenantRow
    await em.flush().catch((error: unknown) => {
      throw takenError(error, checked)
    })
    return row
  }

  async #provision(row: TenantRow, admin: FirstAdmin | undefined, progress: Progress): Promise<void> {
    await this.#set(row, { status: 'provisioning', statusReason: null })
    // What an earlier try left behind: its process may have ended in the middle.
    const again: Step[] = row.status === 'pending' ? [] : [{ name: 'clean_up', up: () => this.#undo(row) }]
    await this.#run(row, again, admin, progress)
  }

  async #run(row: TenantRow, before: readonly Step[], admin: FirstAdmin | undefined, progress: Progress): Promise<void> {
    try {
      await runSteps([...before, ...(await this.#steps(row, admin))], progress)
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
      down: () => this.#undo(row),
    }
    const steps: Step[] = [create]
    if (script.code.length > 0)
      steps.push({ name: 'migrate', up: async () => void (await migrations.up(this.#options.tenantMigration.target(record))) })
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

  /** Drops what bears the tenant's mark. @throws what is on record and stays, because it does not bear the mark any more */
  async #undo(row: TenantRow): Promise<void> {
    const { kept } = await this.#drop(row)
    if (kept.length > 0) throw new Error(`${UNMARKED}: ${kept.map(labelOf).join(', ')}`)
  }

  /** Drops what bears the tenant's mark; what is on record and stays, stays on record. */
  async #drop(row: TenantRow): Promise<{ readonly dropped: readonly CreatedResource[]; readonly kept: readonly CreatedResource[] }> {
    const { createdResources } = await tenantById(this.#options.control(), row.id)
    const now = { ...row, createdResources } as TenantRow
    const record = recordOf(row)
    const resources = resourcesToDrop(now, this.#options.keyRing, this.#options.prefix)
    const { dropped, unmarked } = await this.#options.strategies[record.ref.isolation].drop(record, resources)
    const kept = createdResources.filter(resource => includes(unmarked, resource))
    await this.#set(row, { createdResources: kept })
    return { dropped, kept }
  }

  async #admin(record: TenantRecord, admin: FirstAdmin, actor: Actor | undefined): Promise<void> {
    await this.#options.inside(record, actor, () => this.#options.bootstrapAdmin!({ tenant: record.ref, ...admin }))
  }

  #checkAdmin(admin: FirstAdmin | undefined): void {
    const { bootstrapAdmin, checkPassword } = this.#options
    if (admin !== undefined) checkFirstAdmin(admin, bootstrapAdmin && checkPassword)
  }

  /** On the server where the database is made. */
  #generatedUrl({ connectionAlias, provisioningConnectionString }: ServerOf): string {
    const login = { user: connectionAlias!, password: randomBytes(32).toString('base64url'), database: connectionAlias! }
    return withLogin(provisioningConnectionString ?? this.#options.tenantServerUrl, login)
  }

  /** Other credentials may lead to another server: what is not made yet will be made there. */
  #movedUrl(row: TenantRow, { provisioningConnectionString }: TenantChange): string | undefined {
    const moves = provisioningConnectionString !== undefined && row.provisioningMode === 'auto' && UNPROVISIONED.includes(row.status)
    return moves ? this.#generatedUrl({ connectionAlias: row.connectionAlias!, provisioningConnectionString }) : undefined
  }

  async #locked(
    slug: string,
    operation: LifeOperation | undefined,
    work: (row: TenantRow) => Promise<OperationResult | void>,
    progress: Progress = UNWATCHED,
  ): Promise<TenantRow> {
    const before = await this.#reload(slug)
    return withTenantLock(this.#options.directUrl, before.slug, async () => {
      const row = await this.#reload(slug)
      if (operation !== undefined) assertAllowed(row.slug, operation, row.status)
      await told(row, progress, () => work(row))
      return this.#reload(slug)
    })
  }

  async #reload(slug: string): Promise<TenantRow> {
    const row = await this.#options.directory.row(slug)
    if (row === undefined) throw new TenantNotFoundError(slug)
    return row
  }

  async #set(row: TenantRow, change: RowChange, life?: 'delete' | 'restore'): Promise<void> {
    await changeTenant(this.#options.control(), row.id, change, life)
  }
}
