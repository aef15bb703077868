/** What is sent to PostgreSQL while something runs: the database and the text. */
import { createRequire } from 'node:module'

/** One message to PostgreSQL. */
export interface Sent {
  readonly database: string
  readonly text: string
}

interface Prototype {
  query(this: { database: string }, ...args: unknown[]): unknown
}

/** The application may hold another copy of `pg` than MikroORM: pools may make clients of either. */
const prototypes = new Set(
  [import.meta.url, import.meta.resolve('@mikro-orm/postgresql')].map(
    from => (createRequire(from)('pg') as { Client: { prototype: Prototype } }).Client.prototype,
  ),
)

/** Runs work and tells what was sent. Only one spy looks at a time. */
export async function sentDuring(work: () => Promise<unknown>): Promise<Sent[]> {
  const sent: Sent[] = []
  const originals = [...prototypes].map(prototype => ({ prototype, original: Reflect.get(prototype, 'query') as Prototype['query'] }))
  for (const { prototype, original } of originals) {
    prototype.query = function (...args) {
      const [first] = args
      const text = typeof first === 'string' ? first : textOf(first)
      // The directory's own connection, which may be opened at any moment.
      if (!text.startsWith('listen ')) sent.push({ database: this.database, text })
      return original.apply(this, args)
    }
  }
  try {
    await work()
  } finally {
    for (const { prototype, original } of originals) prototype.query = original
  }
  return sent
}

function textOf(query: unknown): string {
  const { text, cursor } = query as { text?: string; cursor?: { text?: string } }
  return text ?? cursor?.text ?? String(query)
}
