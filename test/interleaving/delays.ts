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
      // What is handed over with a callback, or is a cursor that reads by itself, answers no promise that could be delayed.
      const answersLater = typeof args.at(-1) !== 'function' && typeof (args[0] as { submit?: unknown } | null)?.submit !== 'function'
      if (!answersLater) return query.apply(this, args)
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
