/** The history of a tenancy, over the control plane and all tenants: read, sealed, verified, shortened; and the events of the control plane. */
import type { EntityManager, EntitySchema } from '@mikro-orm/postgresql'
import { currentActor, em, type Actor } from './context/context.ts'
import { TenancyError, TenantNotFoundError, ValidationFailedError } from './errors.ts'
import { AuditEvent } from './history/audit-event.ts'
import { sealPlane, type HistoryPlane, type Seal } from './history/chain.ts'
import { listEvents, type EventPage, type EventQuery } from './history/list.ts'
import { eventRows } from './history/new-event.ts'
import { purgePlane } from './history/retention.ts'
import { verifyPlane, type ChainVerification } from './history/verify.ts'
import { sendingBy, writeEvents } from './history/write-events.ts'
import { SHARED_SCHEMA, parseIdentifier } from './naming.ts'
import { reasonOf } from './provisioning/steps.ts'
import type { Runs } from './runs.ts'
import type { TenantDirectory } from './tenants/directory.ts'
import { Tenant } from './tenants/entities.ts'

/** The planes that work is done on. */
export interface HistoryScope {
  /** Default `all`: the control plane and the tenants. */
  readonly scope?: 'shared' | 'tenant' | 'all' | undefined
  /** Only these tenants, by slug. Default: all that are ready, suspended or archived. */
  readonly tenants?: readonly string[] | undefined
  /** Planes at a time. Default 4. */
  readonly concurrency?: number | undefined
}

/** What `tenancy.history.list` takes. */
export interface HistoryQuery extends EventQuery {
  /** The tenant whose history it is, by slug. Default: the control plane. */
  readonly tenant?: string | undefined
}

/** What `tenancy.history.verify` takes. */
export interface HistoryVerifyOptions extends HistoryScope {
  /** Only so many of the newest sealed events of each plane: the time is bounded then. Default: all. */
  readonly newest?: number | undefined
  /** Heads that were kept elsewhere, by plane (`control plane` or a slug): the chains must pass through them. */
  readonly known?: Readonly<Record<string, Seal>> | undefined
}

/** What `tenancy.history.purge` takes. */
export interface HistoryPurgeOptions extends HistoryScope {
  /** Events before this time go. */
  readonly olderThan: Date
}

/** What became of one plane. */
export type PlaneOutcome<T> = { readonly plane: string } & (
  | ({ readonly error?: undefined } & T)
  | { readonly error: { readonly code: string; readonly message: string } }
)

/** What sealing did in a plane. */
export interface PlaneSealed {
  readonly sealed: number
}

/** What retention did in a plane. */
export interface PlanePurged {
  readonly removed: number
}

/** An event of the control plane that an application records itself. */
export interface NewEvent {
  /** `^[a-z][a-z0-9_.-]{0,62}$`, such as `login.failed`. */
  readonly action: string
  /** What it is about. Default `Session`. */
  readonly entity?: string | undefined
  readonly entityId?: string | undefined
  /** Facts, as JSON of at most 8 KB. Never a secret, and nothing that a stranger typed. */
  readonly details?: Readonly<Record<string, unknown>> | undefined
  /** Who acted. Default: the actor of the context. */
  readonly actor?: Pick<Actor, 'plane' | 'id'> | undefined
  /** Default: that of the context. */
  readonly requestId?: string | undefined
}

export interface TenancyHistoryOptions {
  readonly control: () => EntityManager
  readonly directory: TenantDirectory
  readonly runs: Runs
}

const ACTION = /^[a-z][a-z0-9_.-]{0,62}$/
const DETAILS_MAX = 8_192
const DEFAULT_CONCURRENCY = 4
const KEPT = ['ready', 'suspended', 'archived'] as const
const SYSTEM: Actor = Object.freeze({ plane: 'system', id: 'history', label: 'history' })
/** The control plane among planes: no slug has a space. */
export const CONTROL_PLANE = 'control plane'

/** The history of all planes: `tenancy.history`. */
export class TenancyHistory {
  readonly #options: TenancyHistoryOptions

  constructor(options: TenancyHistoryOptions) {
    this.#options = options
  }

  /**
   * A page of the history of the control plane, or of one tenant; newest first.
   *
   * @throws VALIDATION_FAILED, TENANT_NOT_FOUND
   * @example const { items, next_cursor } = await tenancy.history.list({ tenant: 'acme', entity: 'Invoice', entity_id: id })
   */
  async list({ tenant, ...query }: HistoryQuery = {}): Promise<EventPage> {
    if (tenant === undefined) return listEvents(this.#options.control(), AuditEvent.shared as unknown as EntitySchema, query)
    return this.#inside(tenant, plane => listEvents(plane.em, AuditEvent.tenant as unknown as EntitySchema, query))
  }

  /**
   * Records an event in the history of the control plane, in a transaction of its own.
   *
   * @throws VALIDATION_FAILED, NO_ACTOR
   * @example await tenancy.history.record({ action: 'login.succeeded', entity: 'User', entityId: user.id, actor: { plane: 'global', id: user.id } })
   */
  async record({ action, entity = 'Session', entityId, details, actor, requestId }: NewEvent): Promise<void> {
    if (!ACTION.test(action)) throw new ValidationFailedError([{ path: 'action', message: `must match ${ACTION.source}` }])
    if (details !== undefined && JSON.stringify(details).length > DETAILS_MAX)
      throw new ValidationFailedError([{ path: 'details', message: `must have at most ${DETAILS_MAX} characters as JSON` }])
    const key = actor === undefined ? undefined : `${actor.plane}:${actor.id}`
    const rows = eventRows([{ entity, entityId: entityId ?? null, action, details }], { actor: key, requestId })
    await writeEvents(sendingBy(this.#options.control()), SHARED_SCHEMA, rows)
  }

  /**
   * Seals what is not sealed yet, in every plane. Run it every minute or so: what is not sealed can be changed unnoticed.
   * Two sealers of one plane wait for each other, and a failing plane does not stop the others.
   *
   * @throws TENANT_NOT_FOUND, VALIDATION_FAILED
   * @example setInterval(() => void tenancy.history.seal(), 60_000)
   */
  seal(options: HistoryScope = {}): Promise<readonly PlaneOutcome<PlaneSealed>[]> {
    return this.#each(options, async plane => ({ sealed: await sealPlane(plane) }))
  }

  /**
   * Verifies the sealed chains, and says where each breaks first.
   *
   * @throws TENANT_NOT_FOUND, VALIDATION_FAILED
   * @example const broken = (await tenancy.history.verify()).filter(plane => plane.error !== undefined || !plane.ok)
   */
  verify({ newest, known, ...options }: HistoryVerifyOptions = {}): Promise<readonly PlaneOutcome<ChainVerification>[]> {
    if (newest !== undefined && (!Number.isSafeInteger(newest) || newest < 1))
      throw new ValidationFailedError([{ path: 'newest', message: 'must be a positive whole number' }])
    return this.#each(options, (plane, name) => verifyPlane(plane, { newest, known: known?.[name] }))
  }

  /**
   * Removes events before a time, from the beginning of each chain; the rest can still be verified.
   *
   * @throws TENANT_NOT_FOUND, VALIDATION_FAILED
   * @example await tenancy.history.purge({ olderThan: new Date(Date.now() - 7 * 365 * 86_400_000) })
   */
  purge({ olderThan, ...options }: HistoryPurgeOptions): Promise<readonly PlaneOutcome<PlanePurged>[]> {
    if (Number.isNaN(olderThan.getTime())) throw new ValidationFailedError([{ path: 'olderThan', message: 'must be a time' }])
    const { plane: actorPlane, id } = currentActor() ?? SYSTEM
    return this.#each(options, async plane => ({ removed: await purgePlane(plane, olderThan, `${actorPlane}:${id}`) }))
  }

  async #each<T>(options: HistoryScope, work: (plane: HistoryPlane, name: string) => Promise<T>): Promise<readonly PlaneOutcome<T>[]> {
    const { scope = 'all', tenants, concurrency = DEFAULT_CONCURRENCY } = options
    if (!Number.isSafeInteger(concurrency) || concurrency < 1)
      throw new ValidationFailedError([{ path: 'concurrency', message: 'must be a positive whole number' }])
    const names = [...(scope === 'tenant' ? [] : [CONTROL_PLANE]), ...(scope === 'shared' ? [] : await this.#slugs(tenants))]
    const outcomes = new Map<string, PlaneOutcome<T>>()
    const queue = names.values()
    const worker = async (): Promise<void> => {
      for (const name of queue) outcomes.set(name, await this.#one(name, work))
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, names.length) }, worker))
    return names.map(name => outcomes.get(name)!)
  }

  async #one<T>(name: string, work: (plane: HistoryPlane, name: string) => Promise<T>): Promise<PlaneOutcome<T>> {
    try {
      const done =
        name === CONTROL_PLANE
          ? await work({ em: this.#options.control(), schema: SHARED_SCHEMA, key: 'control' }, name)
          : await this.#inside(name, plane => work(plane, name))
      return { plane: name, ...done }
    } catch (error) {
      const code = error instanceof TenancyError ? error.code : 'INTERNAL'
      return { plane: name, error: { code, message: reasonOf(error) } }
    }
  }

  /** A tenant's history is kept while its data is, whether it serves or not. */
  async #inside<T>(slug: string, work: (plane: HistoryPlane) => Promise<T>): Promise<T> {
    const record = await this.#options.directory.find(slug)
    if (record === undefined) throw new TenantNotFoundError(slug)
    const { id, schema } = record.ref
    return this.#options.runs.run(record, () => work({ em: em(), schema: parseIdentifier(schema), key: id }), {
      actor: currentActor() ?? SYSTEM,
    })
  }

  async #slugs(only: readonly string[] | undefined): Promise<readonly string[]> {
    const where = { status: { $in: [...KEPT] }, ...(only === undefined ? {} : { slug: { $in: [...only] } }) }
    const rows = await this.#options.control().find(Tenant, where, { filters: false, fields: ['slug'], orderBy: { slug: 'asc' } })
    const slugs = rows.map(({ slug }) => slug)
    const missing = only?.find(slug => !slugs.includes(slug))
    if (missing !== undefined) throw new TenantNotFoundError(missing)
    return slugs
  }
}
