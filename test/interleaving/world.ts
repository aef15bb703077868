/** What the operations of the interleaving test work on: tenants, what must stand in them, and what was found to be wrong. */
import { currentTenant, em, type Isolation, type Tenancy } from 'mikro-tenantkit'
import { ada } from '../helpers/tenancy.ts'
import { answerOf, codeOf } from './answers.ts'
import { pick, type Random } from './random.ts'

/** A tenant, and where plain SQL finds its tables. */
export interface Place {
  readonly id: string
  readonly slug: string
  readonly isolation: Isolation
  readonly url: string
  readonly schema: string
}

/** The tables that are counted at the end. */
export const TABLES = ['tag', 'author', 'book', 'book_tags', 'person'] as const
export type Rows = Partial<Record<(typeof TABLES)[number], number>>

/** Where the operations take place. */
export interface World {
  readonly tenancy: Tenancy
  readonly controlUrl: string
  readonly places: readonly Place[]
  /** Pools of database tenants that may be open at once. */
  readonly slots: number
  /** Connections of the shared pool, and of each tenant's. */
  readonly pool: { readonly shared: number; readonly perTenant: number }
}

/** A tenant that is suspended or archived just now refused the work: nothing was wrong, and nothing was done. */
export class Refused extends Error {}

/** The error that operations throw on purpose. */
export class Thrown extends Error {}

/** Lets a few through at a time: whoever holds a connection and waits for another one must never be all there is. */
class Gate {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(width: number) {
    this.#free = width
  }

  async through<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

/** One run of the test over a world: what every client shares. */
export class Field {
  readonly world: World
  readonly findings: string[] = []
  readonly kept = new Map<string, Record<(typeof TABLES)[number], number>>()
  /** Work that its run did not wait for. */
  readonly background = new Set<Promise<unknown>>()
  /** Only as many as leave the others a connection. */
  readonly secondConnection: Gate
  readonly secondDatabase = new Gate(1)
  /** The code with which a tenant refuses now, by slug; `maybe` while that changes. */
  readonly #refusing = new Map<string, string>()
  readonly #changes = new Map<string, number>()
  readonly #foundAt: AbortController

  constructor(world: World, options: { readonly stop: AbortController; readonly secondConnections?: number }) {
    this.world = world
    this.#foundAt = options.stop
    this.secondConnection = new Gate(options.secondConnections ?? 1)
    for (const { slug } of world.places) this.kept.set(slug, { tag: 0, author: 0, book: 0, book_tags: 0, person: 0 })
  }

  /** Notes what is wrong. */
  finding(text: string): void {
    if (this.findings.length < 50) this.findings.push(text)
    this.#foundAt.abort()
  }

  check(holds: boolean, text: string): void {
    if (!holds) this.finding(text)
  }

  /** Rows that stand in the tenant from now on. */
  keep({ slug }: Place, rows: Rows): void {
    const kept = this.kept.get(slug)!
    for (const [table, count] of Object.entries(rows)) kept[table as keyof Rows] += count
  }

  /** Runs work in a tenant. @throws Refused when it is suspended or archived by another operation */
  async enter<T>(place: Place, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { slug } = place
    const changes = this.#changes.get(slug) ?? 0
    const before = this.#refusing.get(slug)
    let entered = false
    try {
      return await this.world.tenancy.run(
        slug,
        async () => {
          entered = true
          this.check(currentTenant().slug === slug, `${currentTenant().slug} is active in a run of ${slug}`)
          const same = (this.#changes.get(slug) ?? 0) === changes
          this.check(!(same && before?.startsWith('TENANT_')), `${slug} let a run in after it was to refuse with ${before}`)
          return work()
        },
        { actor: ada, signal },
      )
    } catch (error) {
      const code = codeOf(error)
      const mayRefuse = before !== undefined || (this.#changes.get(slug) ?? 0) !== changes
      if (entered || !mayRefuse || (code !== 'TENANT_SUSPENDED' && code !== 'TENANT_ARCHIVED')) throw error
      throw new Refused()
    }
  }

  /** The state of a tenant changes, or has changed. */
  refusing(slug: string, code: string | undefined): void {
    this.#changes.set(slug, (this.#changes.get(slug) ?? 0) + 1)
    if (code === undefined) this.#refusing.delete(slug)
    else this.#refusing.set(slug, code)
  }

  isChanging(slug: string): boolean {
    return this.#refusing.has(slug)
  }

  /** Work that nobody awaits; it is awaited before the verification. */
  forget(work: Promise<unknown>): void {
    const settled = work.then(
      () => undefined,
      () => undefined,
    )
    this.background.add(settled)
    void settled.then(() => this.background.delete(settled))
  }

  /** Whatever was read must be the tenant's. */
  own(place: Place, texts: readonly string[]): void {
    for (const text of texts) {
      if (!text.startsWith(`${place.slug}:`)) this.finding(`foreign row: ${JSON.stringify(text)} was read in ${place.slug}`)
    }
  }

  /** The work must be refused with one of the codes. */
  async refuses(what: string, codes: readonly string[], work: () => unknown): Promise<void> {
    const code = await answerOf(work)
    if (code === undefined) this.finding(`${what} was not refused`)
    else this.check(codes.includes(code), `${what} was answered with ${code} instead of ${codes.join(' or ')}`)
  }
}

/** What one client has while it works. */
export interface Turn {
  readonly field: Field
  readonly place: Place
  readonly next: Random
  readonly pause: () => Promise<void>
}

/** A tenant other than the turn's own. */
export function otherPlace({ field, place, next }: Turn, isolation?: Isolation): Place {
  for (;;) {
    const other = pick(next, field.world.places)
    if (other !== place && (isolation === undefined || other.isolation === isolation)) return other
  }
}

/** Enters a second tenant. Whoever holds one of the few databases waits for another one alone. */
export function enterSecond<T>(turn: Turn, other: Place, work: () => Promise<T>): Promise<T> {
  const { field, place } = turn
  const enter = () => field.enter(other, work)
  return place.isolation === 'database' && other.isolation === 'database' && other !== place ? field.secondDatabase.through(enter) : enter()
}

/** The EntityManager of the tenant that must be active. */
export function mine({ field, place }: Turn): ReturnType<typeof em> {
  const { slug } = currentTenant()
  field.check(slug === place.slug, `${slug} is active where ${place.slug} should be`)
  return em()
}
