/**
 * Random delays in front of every query: between the framework's decision and PostgreSQL's answer, other clients get their turn.
 *
 * The queries of one connection keep their order, as in `pg` itself: only the time between them changes.
 */
import { createRequire } from 'node:module'
import type { Random } from './random.ts'

type Query = (this: object, ...args: unknown[]) => unknown

interface ClientClass {
  readonly prototype: { query: Query }
}

/** A cursor, or a query object: `pg` hands it the connection when its turn has come, and waits for it. */
interface Submittable {
  submit(connection: object): Error | null | undefined
  handleError(error: Error, connection: object): void
}

function isSubmittable(given: unknown): given is Submittable {
  return typeof (given as Partial<Submittable> | null)?.submit === 'function'
}

function delaySubmission(given: Submittable, pause: () => Promise<void>): void {
  const submit = given.submit.bind(given)
  given.submit = connection => {
    void pause().then(() => {
      const error = submit(connection)
      if (error) given.handleError(error, connection)
    })
    return null
  }
}

/** The clients of this package and of MikroORM, which may be one class or two. */
const CLIENTS = new Set(
  [import.meta.url, import.meta.resolve('@mikro-orm/postgresql')].map(
    from => (createRequire(from)('pg') as { Client: ClientClass }).Client,
  ),
)

const LONGEST_MS = 2

/** Delays the queries of this process until the function it answers is called, which says how many there were. */
export function delayQueries(next: Random): () => number {
  const originals = [...CLIENTS].map(({ prototype }) => ({ prototype, query: prototype.query }))
  const tails = new WeakMap<object, Promise<unknown>>()
  let delayed = 0
  const pause = (): Promise<void> =>
    next() < 0.2 ? new Promise(resolve => setTimeout(resolve, next() * LONGEST_MS)) : new Promise(resolve => setImmediate(resolve))
  for (const { prototype, query } of originals) {
    prototype.query = function (...args) {
      if (isSubmittable(args[0])) {
        delayed++
        delaySubmission(args[0], pause)
        return query.apply(this, args)
      }
      // What is handed over with a callback is the driver's own, and answers no promise that could be delayed.
      if (typeof args.at(-1) === 'function') return query.apply(this, args)
      delayed++
      const sent = (tails.get(this) ?? Promise.resolve()).then(pause).then(() => query.apply(this, args))
      const settled = sent.then(
        () => undefined,
        () => undefined,
      )
      tails.set(this, settled)
      return sent
    }
  }
  return () => {
    for (const { prototype, query } of originals) prototype.query = query
    return delayed
  }
}
