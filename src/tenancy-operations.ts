/** The operations on tenants as a durable record: started, listed, and looked at while they run. */
import { currentActor, type Actor } from './context/context.ts'
import { NoActorError, TenantNotFoundError } from './errors.ts'
import { parseSlug } from './naming.ts'
import type { OperationJson, OperationRecord, OperationRecords } from './operation-records.ts'
import type { OperationOptions, ProvisionInput } from './tenancy-types.ts'
import type { TenantRow } from './tenants/directory.ts'

export interface TenancyOperationsOptions {
  readonly records: OperationRecords
  readonly row: (slug: string) => Promise<TenantRow | undefined>
  readonly provision: (input: ProvisionInput, record: OperationRecord) => Promise<unknown>
  readonly operate: (slug: string, operation: string, options: OperationOptions, record: OperationRecord) => Promise<unknown>
  readonly runAsActor: <T>(actor: Actor, work: () => Promise<T>) => Promise<T>
  readonly makesAdministrators: boolean
}

const MAX_LIMIT = 100

/** What `tenancy.operations` gives. */
export class TenancyOperations {
  /** Whether tenants can be given a first administrator: the option `bootstrapAdmin` says how. */
  readonly makesAdministrators: boolean
  readonly #options: TenancyOperationsOptions
  /** Started, and not waited for. */
  readonly #running = new Set<Promise<unknown>>()

  constructor(options: TenancyOperationsOptions) {
    this.#options = options
    this.makesAdministrators = options.makesAdministrators
  }

  /**
   * Starts to create a tenant: answers when it is registered and being made. `tenancy.close()` waits for the end.
   *
   * @throws VALIDATION_FAILED, RESERVED_NAME, SLUG_TAKEN, ALIAS_TAKEN, SCHEMA_TAKEN, OPERATION_CONFLICT, NO_ACTOR
   * @example const { id } = await tenancy.operations.provision({ slug: 'acme', name: 'Acme', isolation: 'schema' })
   */
  async provision(input: ProvisionInput): Promise<OperationJson> {
    return this.#start('provision', record => this.#options.provision(input, record))
  }

  /**
   * Starts an operation by name: answers when it is allowed and has begun. `tenancy.close()` waits for the end.
   *
   * @throws UNKNOWN_OPERATION, TENANT_NOT_FOUND, INVALID_STATE, CONFIRMATION_REQUIRED, OPERATION_CONFLICT, VALIDATION_FAILED, NO_ACTOR
   * @example const { id } = await tenancy.operations.start('acme', 'migrate')
   */
  async start(slug: string, operation: string, options: OperationOptions = {}): Promise<OperationJson> {
    return this.#start(operation, record => this.#options.operate(slug, operation, options, record))
  }

  /** The operations on a tenant, the newest first: at most `limit` (1 to 100, default 20); 100 are kept. @throws TENANT_NOT_FOUND */
  async list(slug: string, { limit = 20 }: { readonly limit?: number } = {}): Promise<readonly OperationJson[]> {
    const row = await this.#options.row(parseSlug(slug))
    if (row === undefined) throw new TenantNotFoundError(slug)
    return this.#options.records.list(row.id, row.slug, Math.max(1, Math.min(MAX_LIMIT, Math.trunc(limit) || 1)))
  }

  /** An operation by its id, as far as it is. @throws NOT_FOUND */
  show(id: string): Promise<OperationJson> {
    return this.#options.records.show(id)
  }

  /** Waits for those that were started. @internal */
  async settled(): Promise<void> {
    await Promise.all(this.#running)
  }

  /** Goes on in a context of its own: that of the caller may end before. What fails after the beginning is told by the record. */
  async #start(name: string, work: (record: OperationRecord) => Promise<unknown>): Promise<OperationJson> {
    const actor = currentActor()
    if (actor === undefined) throw new NoActorError()
    const record = this.#options.records.open(name)
    const ended = this.#options.runAsActor(actor, () => work(record))
    const settled = ended.catch(() => undefined).finally(() => this.#running.delete(settled))
    this.#running.add(settled)
    await Promise.race([record.begun, ended])
    return this.show(record.id)
  }
}
