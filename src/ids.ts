/**
 * Identifiers of rows: UUID version 7, made in the application.
 *
 * They are ordered by time (good for indexes and keyset paging) and need no sequence, so they work on a sharded engine and survive a move
 * of the tenant.
 */
import { v7 } from 'uuid'

/**
 * A new UUIDv7.
 *
 * Source: RFC 9562, section 5.7.
 *
 * @example properties: p => ({ id: p.uuid().primary().onCreate(() => newId()) })
 */
export function newId(): string {
  return v7()
}
