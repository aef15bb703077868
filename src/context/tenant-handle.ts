/** A tenant that is held open over several runs, for loops, jobs and command lines. */
import { NoTenantContextError } from '../errors.ts'
import type { TenantRef } from './context.ts'
import type { Unit } from './unit.ts'

/** What `tenancy.open` gives. */
export interface TenantHandle extends AsyncDisposable {
  readonly tenant: TenantRef
  /**
   * Runs work in the tenant; `em()` is the same EntityManager in every run of this handle, with the same identity map.
   *
   * @throws NO_TENANT_CONTEXT after the handle was disposed, and what entering the tenant throws: it is looked at again for each run.
   */
  run<T>(work: () => Promise<T>): Promise<T>
  /**
   * Gives back the lease and rolls back what is open. A run that is still in flight is ended, not waited for: its statement is cancelled, and
   * it is refused from there on. Twice is fine.
   */
  [Symbol.asyncDispose](): Promise<void>
}

/** A handle that nobody can reach any more holds its lease for nothing: it is given back, and said so. */
const forgotten = new FinalizationRegistry<Unit>(unit => {
  unit.end()
  process.emitWarning(`A handle of tenant "${unit.tenant.slug}" was never disposed.`, {
    code: 'TENANTKIT_HANDLE_FORGOTTEN',
    detail: 'Hold it with `await using handle = await tenancy.open(slug)`.',
  })
})

/** A handle over a unit; `stillServes` is asked before each run, and throws when the tenant may not be entered any more. */
export function tenantHandle(unit: Unit, stillServes: () => Promise<void>): TenantHandle {
  let running = 0
  const handle: TenantHandle = Object.freeze({
    tenant: unit.tenant,
    async run<T>(work: () => Promise<T>): Promise<T> {
      if (unit.state !== 'active') throw disposed(unit.tenant)
      await stillServes()
      if (unit.state !== 'active') throw disposed(unit.tenant)
      running++
      try {
        return await unit.run(work)
      } finally {
        running--
      }
    },
    [Symbol.asyncDispose]() {
      forgotten.unregister(unit)
      if (running > 0) unit.abort()
      else unit.end()
      return Promise.resolve()
    },
  })
  forgotten.register(handle, unit, unit)
  return handle
}

function disposed(tenant: TenantRef): NoTenantContextError {
  return new NoTenantContextError(
    `The handle of tenant "${tenant.slug}" was disposed.`,
    'Use it inside the block of its `await using`, or open another one: tenancy.open(slug).',
  )
}
