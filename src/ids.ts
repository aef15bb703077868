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

/** The time that stands in a UUIDv7. Source: RFC 9562, section 5.7: the first 48 bits are milliseconds since 1970. */
export function timeOfId(id: string): Date {
  return new Date(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16))
}

/** The lowest id that a UUIDv7 of this time, or a later one, can have. */
export function lowestIdAt(time: Date): string {
  const digits = Math.min(Math.max(Math.trunc(time.getTime()), 0), 0xff_ff_ff_ff_ff_ff)
    .toString(16)
    .padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}-0000-0000-000000000000`
}
