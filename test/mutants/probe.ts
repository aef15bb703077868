/** A probe: one thing that must hold, tried on purpose. It throws what it found. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Tenancy } from 'mikro-tenantkit'
import { em } from 'mikro-tenantkit'
import { ada } from '../helpers/tenancy.ts'
import { delayQueries } from '../interleaving/delays.ts'
import type { Place, World } from '../interleaving/world.ts'
import { must, mustRefuse } from './expectations.ts'

export { must, mustRefuse }

export interface Ground {
  readonly world: World
  readonly tenancy: Tenancy
  /** Another tenancy over the same tenants, as in another process. Whoever opens it closes it. */
  readonly open: () => Promise<Tenancy>
  /** Two by schema, two by database. */
  readonly acme: Place
  readonly initech: Place
  readonly globex: Place
  readonly hooli: Place
}

export type Probe = (ground: Ground) => Promise<void>

export const FOREIGN = 'CROSS_TENANT_ENTITY'
export const NO_CONTEXT = 'NO_TENANT_CONTEXT'
export const FORBIDDEN = 'FORBIDDEN'

/** Runs work in a tenant as one of its users. */
export function inTenant<T>({ tenancy }: Ground, place: Place, work: (manager: ReturnType<typeof em>) => Promise<T>): Promise<T> {
  return tenancy.run(place.slug, () => work(em()), { actor: ada })
}

/** Waits until something holds. @throws when it does not within the time */
export async function until(holds: () => boolean | Promise<boolean>, what: string, ms = 3_000): Promise<void> {
  for (const end = Date.now() + ms; !(await holds()); await sleep(10)) if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`)
}

/** Everything was given back: a rollback may be under way for a moment. */
export function mustBeFree({ tenancy }: Ground, what: string): Promise<void> {
  return until(() => {
    const { leases, shared, connections, databases } = tenancy.stats()
    return leases === 0 && shared.inUse + shared.waiting === 0 && connections.inUse + connections.waiting === 0 && databases.inUse === 0
  }, what)
}

/** Like {@link mustRefuse}, and nothing may have been sent to the database. */
export async function mustRefuseUnsent(code: string, what: string, work: () => unknown): Promise<void> {
  const stop = delayQueries(() => 1)
  try {
    await mustRefuse(code, what, work)
  } finally {
    const sent = stop()
    must(sent === 0, `${what}: ${sent} statements were sent before it was refused`)
  }
}
