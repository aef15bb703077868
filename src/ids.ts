/**
 * Identifiers of rows: UUID version 7, made in the application.
 *
 * They are ordered by time (good for indexes and keyset paging) and need no sequence, so they work on a sharded engine and survive a move
 * of the tenant.
 */
import { randomFillSync } from 'node:crypto'
import { v7 } from 'uuid'

/** Random bytes of an id, and of how many ids they are drawn at once: drawn id by id, they would be most of what an id costs. */
const RANDOM_BYTES = 16
const DRAWN_AT_ONCE = 256

const drawn = new Uint8Array(RANDOM_BYTES * DRAWN_AT_ONCE)
let used = drawn.length
const random = new Uint8Array(RANDOM_BYTES)
const bytes = new Uint8Array(16)
/** The text of an id, in which the hyphens stand already: put together of pieces, it would leave twenty strings behind. */
const text = Buffer.from('00000000-0000-0000-0000-000000000000', 'latin1')
const DIGITS = Buffer.from('0123456789abcdef', 'latin1')
const PLACES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const
let milliseconds = -Infinity
let sequence = 0

/**
 * A new UUIDv7.
 *
 * Each is higher than the one before it in this process: within one millisecond, and where the clock was set back, they count on.
 *
 * Source: RFC 9562, sections 5.7 and 6.2 (a counter of 32 bits, of which the highest is 0 at first).
 *
 * @example properties: p => ({ id: p.uuid().primary().onCreate(() => newId()) })
 */
export function newId(): string {
  return nextId(Date.now())
}

/** New ids of one millisecond. */
export function newIds(count: number): string[] {
  const now = Date.now()
  return Array.from({ length: count }, () => nextId(now))
}

function nextId(now: number): string {
  if (used === drawn.length) {
    randomFillSync(drawn)
    used = 0
  }
  for (let index = 0; index < RANDOM_BYTES; index++) random[index] = drawn[used++]!
  if (now > milliseconds) {
    milliseconds = now
    sequence = ((random[6]! & 0x7f) << 24) | (random[7]! << 16) | (random[8]! << 8) | random[9]!
  } else {
    sequence = (sequence + 1) | 0
    if (sequence === 0) milliseconds++
  }
  v7({ random, msecs: milliseconds, seq: sequence }, bytes)
  for (let index = 0; index < PLACES.length; index++) {
    const place = PLACES[index]!
    text[place] = DIGITS[bytes[index]! >> 4]!
    text[place + 1] = DIGITS[bytes[index]! & 15]!
  }
  return text.toString('latin1')
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
