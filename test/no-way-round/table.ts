/**
 * How a method is classified: what it does, and a real call of it.
 *
 * | kind | in its tenant | without a tenant, or in another |
 * |---|---|---|
 * | reads | sends SQL to its own tenant, and answers its own rows | refused before any SQL |
 * | writes | the same, and its own rows changed | refused before any SQL |
 * | transaction | sends SQL that names no table | refused before any SQL |
 * | raw | finds no table by an unqualified name | refused before any SQL |
 * | refused | refused before any SQL | refused before any SQL |
 * | pure | sends no SQL | sends no SQL |
 */
import type { Scene } from './scene.ts'

export type Kind = 'reads' | 'writes' | 'transaction' | 'raw' | 'pure' | 'refused'

/** A real call on a target; entities, builders and the like that it takes as arguments come from the scene, which may be another tenant's. */
export type Call<T> = (target: T, scene: Scene) => unknown

export interface Entry<T> {
  readonly kind: Kind
  readonly call: Call<T>
  /** Why a pure method is harmless, or a refused one is refused. */
  readonly why?: string
}

/** The methods of a class, each with its entry. */
export type Table<T> = Readonly<Record<string, Entry<T>>>

export const reads = <T>(call: Call<T>): Entry<T> => ({ kind: 'reads', call })
export const writes = <T>(call: Call<T>): Entry<T> => ({ kind: 'writes', call })
export const transaction = <T>(call: Call<T>): Entry<T> => ({ kind: 'transaction', call })
/** SQL of the application's own: the call names a table without its schema. */
export const raw = <T>(call: Call<T>): Entry<T> => ({ kind: 'raw', call })
export const pure = <T>(why: string, call: Call<T>): Entry<T> => ({ kind: 'pure', why, call })
export const refused = <T>(why: string, call: Call<T>): Entry<T> => ({ kind: 'refused', why, call })

/** Everything that an iterator gives. */
export async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const row of rows) found.push(row)
  return found
}

/** What MikroORM does not fill in native inserts. */
export const stamps = () => ({ createdAt: new Date(), createdBy: 'test', updatedAt: new Date(), updatedBy: 'test' })
