/** One operation at a time on a tenant, over all processes. */
import { createHash } from 'node:crypto'
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
import { OperationConflictError } from '../errors.ts'

/**
 * Runs work while holding the tenant's lock, an advisory lock of a session of its own: if the process dies, PostgreSQL frees it.
 *
 * Source: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 *
 * @throws OPERATION_CONFLICT when another operation holds it.
 */
export async function withTenantLock<T>(directUrl: string, slug: string, work: () => Promise<T>): Promise<T> {
  const lock = async (client: DirectClient) => {
    const { rows } = await client.query<{ held: boolean }>('select pg_catalog.pg_try_advisory_lock($1::bigint) as held', [
      tenantLockKey(slug),
    ])
    if (rows[0]?.held !== true) throw new OperationConflictError(slug)
    return work()
  }
  return withDirectClient(directUrl, lock, { lends: true })
}

/** 64 bits of a hash, signed, as PostgreSQL takes them. */
export function tenantLockKey(slug: string): string {
  return createHash('sha256').update(`mikro-tenantkit tenant ${slug}`).digest().readBigInt64BE(0).toString()
}
