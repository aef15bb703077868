/** The operations on tenants by name, and the hooks that are told of them. */
import { UnknownOperationError, ValidationFailedError } from './errors.ts'
import type { AdminInput, TenancyHooks } from './options.ts'
import type { Progress } from './provisioning/progress.ts'
import { reasonOf } from './provisioning/steps.ts'
import type { TenantRegistry } from './provisioning/tenant-registry.ts'
import type { HookFailure, OperationOptions, Performed } from './tenancy-types.ts'
import { recordOf, type TenantRow } from './tenants/directory.ts'
import { OPERATIONS, type OperationName } from './tenants/life.ts'

/** What hooks are told of by name. */
export type TenantEvent = 'provisioned' | 'suspended' | 'resumed' | 'archived' | 'restored' | 'purged'

export class Operations {
  readonly #registry: TenantRegistry
  readonly #hooks: readonly TenancyHooks[]

  constructor(registry: TenantRegistry, hooks: readonly TenancyHooks[]) {
    this.#registry = registry
    this.#hooks = hooks
  }

  /** @throws UNKNOWN_OPERATION, INVALID_STATE, CONFIRMATION_REQUIRED, OPERATION_CONFLICT, PROVISIONING_FAILED */
  async perform(slug: string, operation: OperationName, options: OperationOptions, progress: Progress): Promise<Performed> {
    switch (operation) {
      case 'provision':
      case 'provision_and_migrate':
      case 'retry': {
        const { row, applied } = await this.#registry.provision(slug, operation, options.admin, progress)
        if (applied === undefined) return { failures: await this.notify('provisioned', row), result: {} }
        return { failures: await this.#notifyMigrated(row, applied), result: { applied } }
      }
      case 'migrate': {
        const { row, names: applied } = await this.#registry.migrate(slug, 'up', {}, progress)
        return { failures: await this.#notifyMigrated(row, applied), result: { applied } }
      }
      case 'bootstrap_admin':
        await this.#registry.bootstrapAdmin(slug, required(options.admin), progress)
        return { failures: [], result: {} }
      case 'suspend':
        return { failures: await this.notify('suspended', await this.#registry.suspend(slug, progress)), result: {} }
      case 'resume':
        return { failures: await this.notify('resumed', await this.#registry.resume(slug, progress)), result: {} }
      case 'restore':
        return { failures: await this.notify('restored', await this.#registry.restore(slug, progress)), result: {} }
      case 'purge': {
        const { row, dropped } = await this.#registry.purge(slug, options.confirm, progress)
        return { failures: await this.notify('purged', row), result: { dropped } }
      }
    }
  }

  /** Calls the hooks of an event, in list order. */
  notify(event: TenantEvent, row: TenantRow): Promise<HookFailure[]> {
    return this.call(hook => hook[event]?.({ tenant: recordOf(row).ref }))
  }

  async #notifyMigrated(row: TenantRow, migrations: readonly string[]): Promise<HookFailure[]> {
    return migrations.length === 0 ? [] : this.call(hook => hook.migrated?.({ tenant: recordOf(row).ref, migrations }))
  }

  /** What happened has happened: a hook that throws is told, and the others are called all the same. */
  async call(work: (hook: TenancyHooks) => Promise<void> | undefined): Promise<HookFailure[]> {
    const failures: HookFailure[] = []
    for (const hook of this.#hooks) {
      try {
        await work(hook)
      } catch (error) {
        const failure = { name: hook.name, message: reasonOf(error) }
        failures.push(failure)
        process.emitWarning(`The hook "${failure.name}" failed: ${failure.message}`, { code: 'TENANTKIT_HOOK_FAILED' })
      }
    }
    return failures
  }
}

/** The operation of a name. @throws UNKNOWN_OPERATION */
export function operationOf(name: string): OperationName {
  if (!(OPERATIONS as readonly string[]).includes(name)) throw new UnknownOperationError(name, OPERATIONS)
  return name as OperationName
}

function required(admin: AdminInput | undefined): AdminInput {
  if (admin === undefined) throw new ValidationFailedError([{ path: 'admin', message: 'is required' }])
  return admin
}
