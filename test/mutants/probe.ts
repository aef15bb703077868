/** A probe: one thing that must hold, tried on purpose. It throws what it found. */
import type { Tenancy } from 'mikro-tenantkit'
import { em } from 'mikro-tenantkit'
import { ada } from '../helpers/tenancy.ts'
import type { Place, World } from '../interleaving/world.ts'
import { answerOf } from '../interleaving/world.ts'

export interface Ground {
  readonly world: World
  readonly tenancy: Tenancy
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

/** @throws when the work is not refused with the code */
export async function mustRefuse(code: string, what: string, work: () => unknown): Promise<void> {
  const answer = await answerOf(work)
  if (answer !== code) throw new Error(`${what}: ${answer ?? 'not refused'} instead of ${code}`)
}

/** @throws when it does not hold */
export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}
