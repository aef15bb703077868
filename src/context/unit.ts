/**
 * One run, request or handle in a tenant, from its lease to its end: what it holds can be taken back from it, also while its work goes on.
 *
 * Each connection is noted for the unit that reserves it. So an aborted unit gets its statement cancelled, one that waited for a free
 * connection sends nothing when its turn comes, and rows are taken in their own tenant alone. What is not aborted pays for a map entry.
 */
import { CrossTenantEntityError, NoTenantContextError, RunAbortedError } from '../errors.ts'
import { currentContext, currentUnit, runInContext, type Actor, type TenancyContext, type TenantRef } from './context.ts'

/** A connection out of a pool, as far as a unit looks at it. */
export interface ReservedConnection {
  executeQuery(query: { readonly sql: string }, ...rest: unknown[]): Promise<unknown>
  streamQuery(...args: unknown[]): AsyncIterableIterator<{ readonly rows: unknown[] }>
  collectSessionInfo?(): Promise<void>
  cancelQuery?(control: () => Promise<never>): Promise<void>
}

/** What a unit is opened with. */
export interface UnitOptions {
  readonly tenant: TenantRef
  readonly em: NonNullable<TenancyContext['em']>
  readonly actor: Actor | undefined
  readonly control: TenancyContext['control']
  readonly requestId: string | undefined
  /** Aborts the unit when it fires. */
  readonly signal?: AbortSignal | undefined
  /** Whether running statements can be cancelled: not through a pooler, which hides the server's process. */
  readonly cancels: boolean
  /** Gives back the lease: called once, however the unit ends. */
  readonly release: () => void
}

/** What a connection in its pool remembers of the unit that had it last: never its EntityManager. */
interface Lifetime {
  readonly tenant: TenantRef
  state: 'active' | 'ended' | 'aborted'
}

const owners = new WeakMap<ReservedConnection, Lifetime | undefined>()

/** A class: an object with a getter of its own is slow to make, and garbage that lives long. */
class UnitContext implements TenancyContext {
  readonly tenant: TenantRef
  readonly actor: Actor | undefined
  readonly em: NonNullable<TenancyContext['em']>
  readonly control: TenancyContext['control']
  readonly requestId: string | undefined
  readonly unit: Unit

  constructor(unit: Unit, { tenant, actor, em, control, requestId }: UnitOptions) {
    this.tenant = tenant
    this.actor = actor
    this.em = em
    this.control = control
    this.requestId = requestId
    this.unit = unit
    Object.freeze(this)
  }

  get signal(): AbortSignal {
    return this.unit.signal()
  }
}

export class Unit {
  readonly tenant: TenantRef
  readonly context: TenancyContext
  readonly #options: UnitOptions
  readonly #lifetime: Lifetime
  readonly #connections = new Set<ReservedConnection>()
  readonly #outer: Unit | undefined
  #inner: Set<Unit> | undefined
  #controller: AbortController | undefined

  constructor(options: UnitOptions) {
    this.#options = options
    this.tenant = options.tenant
    this.#lifetime = { tenant: options.tenant, state: 'active' }
    this.context = new UnitContext(this, options)
    this.#outer = currentUnit()
    this.#outer?.adopt(this)
    options.signal?.addEventListener('abort', this.abort, { once: true })
  }

  get state(): 'active' | 'ended' | 'aborted' {
    return this.#lifetime.state
  }

  /** @throws RUN_ABORTED instead of what the work threw, if the unit was aborted meanwhile. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await runInContext(this.context, async () => work())
    } catch (error) {
      throw this.state === 'aborted' ? new RunAbortedError(this.tenant.slug, error) : error
    }
  }

  /** Ends it: nothing is reached through it any more, and transactions left open are rolled back. Twice is fine. */
  end(): void {
    this.#finish('ended')
  }

  /** Ends it in the middle of its work: statements that run are cancelled, and so are the runs that were opened inside. */
  readonly abort = (): void => {
    if (this.state !== 'active') return
    for (const unit of this.#inner ?? []) unit.abort()
    const own = [...this.#connections].filter(connection => owners.get(connection) === this.#lifetime)
    this.#finish('aborted')
    this.#controller?.abort(new RunAbortedError(this.tenant.slug))
    if (this.#options.cancels) for (const connection of own) void cancel(connection)
  }

  /** @internal Notes a connection that this unit was given. */
  reserve(connection: ReservedConnection): void {
    owners.set(connection, this.#lifetime)
    this.#connections.add(connection)
  }

  /** @internal Notes a unit that was opened inside this one: both are aborted together. */
  adopt(unit: Unit): void {
    this.#inner ??= new Set()
    this.#inner.add(unit)
  }

  /** @internal Forgets a unit that is over. */
  dismiss(unit: Unit): void {
    this.#inner?.delete(unit)
  }

  /** @internal Made when somebody asks for it. */
  signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.state === 'aborted') this.#controller.abort(new RunAbortedError(this.tenant.slug))
    }
    return this.#controller.signal
  }

  #finish(state: 'ended' | 'aborted'): void {
    if (this.state !== 'active') return
    this.#lifetime.state = state
    this.#options.signal?.removeEventListener('abort', this.abort)
    this.#outer?.dismiss(this)
    this.#connections.clear()
    this.#options.release()
  }
}

/**
 * Notes that a connection was taken out of its pool, for the unit that is active: every pool calls it, in the context of whoever waited.
 *
 * @throws nothing: a connection whose reservation fails would never go back to its pool.
 */
export function reserveConnection(connection: ReservedConnection): void {
  if (!owners.has(connection)) watch(connection)
  const unit = currentUnit()
  // What goes on after the end of a run may open one of its own; the run's EntityManager refuses by itself.
  if (unit === undefined || unit.state === 'ended') owners.set(connection, undefined)
  else unit.reserve(connection)
}

/** Once for each connection; its methods are replaced in place because its state is private. */
function watch(connection: ReservedConnection): void {
  const execute = connection.executeQuery.bind(connection)
  connection.executeQuery = (query, ...rest) => {
    const owner = owners.get(connection)
    if (owner?.state === 'aborted' && !CONTROLS_TRANSACTION.test(query.sql)) return Promise.reject(new RunAbortedError(owner.tenant.slug))
    return execute(query, ...rest)
  }
  const stream = connection.streamQuery.bind(connection)
  connection.streamQuery = async function* (...args) {
    const owner = owners.get(connection)
    if (owner === undefined) return yield* stream(...args)
    for await (const chunk of stream(...args)) yield { ...chunk, rows: takenBy(owner, chunk.rows) }
  }
}

/** A transaction that cannot begin would keep its connection for ever, and one that is open must be able to end. */
const CONTROLS_TRANSACTION = /^(begin|start transaction|commit|rollback|release)\b/i

/** The same rows, each of which is looked at when it is taken. */
function takenBy(owner: Lifetime, rows: unknown[]): unknown[] {
  const each = rows[Symbol.iterator].bind(rows)
  return Object.defineProperty(rows, Symbol.iterator, {
    value: function* () {
      for (const row of { [Symbol.iterator]: each }) {
        assertTaken(owner)
        yield row
      }
    },
  })
}

/**
 * Refuses the rows of a stream to every other tenant, and to everyone after the end of its run.
 *
 * @throws NO_TENANT_CONTEXT, CROSS_TENANT_ENTITY
 */
function assertTaken({ tenant, state }: Lifetime): void {
  if (state !== 'active') throw ended(tenant)
  const active = currentContext()?.tenant
  if (active === undefined) {
    throw new NoTenantContextError(
      `Rows of tenant "${tenant.slug}" are taken from a stream where no tenant is active.`,
      'Read the stream inside the run that opened it, or wrap the callback in bindContext(callback).',
    )
  }
  if (active.id !== tenant.id) {
    throw new CrossTenantEntityError(
      `Rows of tenant "${tenant.slug}" are taken from a stream while tenant "${active.slug}" is active.`,
      'Read the stream inside the run that opened it.',
    )
  }
}

async function cancel(connection: ReservedConnection): Promise<void> {
  try {
    await connection.collectSessionInfo?.()
    // It opens a connection of its own: the pool may be the very thing that is exhausted.
    await connection.cancelQuery?.(() => Promise.reject(new Error('no connection to cancel through')))
  } catch {
    // The statement came to its end meanwhile, or the server does not answer: then it ends by itself.
  }
}

function ended(tenant: TenantRef): NoTenantContextError {
  return new NoTenantContextError(
    `The run or request in tenant "${tenant.slug}" has ended, and a statement of it came afterwards.`,
    'Await everything before the run ends, or open a run of your own: tenancy.run(slug, work).',
  )
}
