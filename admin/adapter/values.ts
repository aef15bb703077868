/** Values between the database and a form: what cannot be stored is refused here, at its field, before any SQL. */
import { helper, type EntityManager, type EntityProperty } from '@mikro-orm/postgresql'
import { columnOf, isArray, isReference, kindOf, type PropertyKind } from './kind.ts'

/** A value that a field cannot take. */
export class FieldError extends Error {
  override readonly name = 'FieldError'
}

export const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const INTEGER = /^[+-]?\d{1,30}$/
const DECIMAL = /^[+-]?\d{1,200}(?:\.\d{1,200})?$/
const TIME = /^(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?$/
const DATE = /^\d{4}-\d{2}-\d{2}/
/** PostgreSQL takes neither the character NUL nor half a surrogate pair. */
const UNSTORABLE = /\0|\p{Surrogate}/u
const RANGES: Readonly<Record<string, bigint>> = { smallint: 2n ** 15n, int2: 2n ** 15n }

/** The value of a form's field as the entity takes it. @throws FieldError */
export function fromForm(property: EntityProperty, raw: unknown, em: EntityManager): unknown {
  if (isArray(property) && kindOf(property) !== 'json') return arrayFrom(property, raw)
  if (raw === undefined || raw === null || raw === '') return null
  if (isReference(property)) return referenceFrom(property, raw, em)
  return scalarFrom(property, kindOf(property), raw)
}

/** A value of the entity as a form shows it: JSON-safe, and without loss of digits. */
export function toForm(property: EntityProperty, value: unknown): unknown {
  if (value === undefined || value === null) return null
  if (isReference(property)) return typeof value === 'object' ? String(helper(value).getPrimaryKey()) : textOf(value)
  if (kindOf(property) === 'json') return JSON.stringify(value, null, 2)
  return Array.isArray(value) ? value.map(plain) : plain(value)
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return value instanceof Date ? value.toISOString() : value
}

function arrayFrom(property: EntityProperty, raw: unknown): unknown {
  if (raw === undefined || raw === null || raw === '') return property.nullable ? null : []
  const items = (Array.isArray(raw) ? raw : [raw]).filter(item => item !== null && item !== '')
  return items.map(item => scalarFrom(property, kindOf(property), item))
}

function referenceFrom(property: EntityProperty, raw: unknown, em: EntityManager): unknown {
  const text = textOf(raw)
  const target = property.targetMeta
  const key = target?.getPrimaryProps()[0]
  if (target === undefined || key === undefined) throw new FieldError('Refers to nothing')
  return em.getReference(target.class, scalarFrom(key, kindOf(key), text) as never)
}

function scalarFrom(property: EntityProperty, kind: PropertyKind, raw: unknown): unknown {
  switch (kind) {
    case 'json':
      return jsonFrom(raw)
    case 'enum':
      return enumFrom(property, raw)
    case 'boolean':
      return booleanFrom(raw)
    case 'datetime':
    case 'date':
      return dateFrom(property, kind, raw)
    case 'integer':
      return integerFrom(property, raw)
    case 'bigint':
      return bigintFrom(property, raw)
    case 'decimal':
      return decimalFrom(property, raw)
    case 'float':
      return floatFrom(raw)
    case 'uuid':
      return matching(raw, UUID, 'Not a UUID').toLowerCase()
    case 'time':
      return matching(raw, TIME, 'Not a time such as 09:30')
    case 'reference':
    case 'collection':
    case 'text':
    case 'string':
      return stringFrom(property, raw)
  }
}

function matching(raw: unknown, pattern: RegExp, problem: string): string {
  const text = textOf(raw).trim()
  if (!pattern.test(text)) throw new FieldError(problem)
  return text
}

/** What a field sends: text, or a number or boolean of JSON. An object is nothing that a field can send. */
function textOf(raw: unknown): string {
  if (typeof raw === 'string') return raw
  if (typeof raw === 'number' || typeof raw === 'boolean' || typeof raw === 'bigint') return String(raw)
  throw new FieldError('Not a single value')
}

function stringFrom(property: EntityProperty, raw: unknown): string {
  const text = textOf(raw)
  if (UNSTORABLE.test(text)) throw new FieldError('Holds a character that cannot be stored')
  if (property.length !== undefined && [...text].length > property.length) throw new FieldError(`At most ${property.length} characters`)
  return text
}

function jsonFrom(raw: unknown): unknown {
  const text = typeof raw === 'string' ? raw : JSON.stringify(raw)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new FieldError('Invalid JSON')
  }
  // jsonb cannot hold U+0000, nor half of a surrogate pair; JSON.stringify escapes both, and an even number of \\ before is text.
  if (/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i.test(JSON.stringify(value))) throw new FieldError('Holds a character that cannot be stored')
  return value
}

function enumFrom(property: EntityProperty, raw: unknown): unknown {
  const found = property.items?.find(item => String(item) === textOf(raw))
  if (found === undefined) throw new FieldError('Not an allowed value')
  return found
}

function booleanFrom(raw: unknown): boolean {
  const text = textOf(raw)
  if (text !== 'true' && text !== 'false') throw new FieldError('Neither true nor false')
  return text === 'true'
}

function dateFrom(property: EntityProperty, kind: 'date' | 'datetime', raw: unknown): unknown {
  // The day that was typed, not the one that some time zone makes of it.
  const text = raw instanceof Date ? (Number.isNaN(raw.getTime()) ? '' : raw.toISOString()) : textOf(raw)
  const date = new Date(kind === 'date' ? text.slice(0, 10) : text)
  if (!DATE.test(text) || Number.isNaN(date.getTime())) throw new FieldError(kind === 'date' ? 'Not a date' : 'Not a date and time')
  if (kind === 'date' && date.toISOString().slice(0, 10) !== text.slice(0, 10)) throw new FieldError('Not a date')
  return kind === 'date' && property.runtimeType === 'string' ? text.slice(0, 10) : date
}

function integerFrom(property: EntityProperty, raw: unknown): number {
  const value = BigInt(matching(raw, INTEGER, 'Not a whole number').replace('+', ''))
  const limit = RANGES[columnOf(property)] ?? 2n ** 31n
  if (value >= limit || value < -limit) throw new FieldError(`Between ${-limit} and ${limit - 1n}`)
  return Number(value)
}

function bigintFrom(property: EntityProperty, raw: unknown): unknown {
  const value = BigInt(matching(raw, INTEGER, 'Not a whole number').replace('+', ''))
  if (value >= 2n ** 63n || value < -(2n ** 63n)) throw new FieldError('Too large')
  if (property.runtimeType !== 'number') return property.runtimeType === 'string' ? String(value) : value
  if (!Number.isSafeInteger(Number(value))) throw new FieldError('Too large')
  return Number(value)
}

function decimalFrom(property: EntityProperty, raw: unknown): unknown {
  const text = matching(raw, DECIMAL, 'Not a decimal number such as 19.90').replace('+', '')
  const [whole = '', fraction = ''] = text
    .replace('-', '')
    .replace(/^0+(?=\d)/, '')
    .split('.')
  const { precision, scale = 0 } = property
  if (precision !== undefined) {
    if (fraction.length > scale) throw new FieldError(`At most ${scale} digits after the point`)
    if (whole !== '0' && whole.length > precision - scale) throw new FieldError(`At most ${precision - scale} digits before the point`)
  }
  return property.runtimeType === 'number' ? Number(text) : text
}

function floatFrom(raw: unknown): number {
  const text = textOf(raw).trim()
  const value = Number(text)
  if (text === '' || !Number.isFinite(value)) throw new FieldError('Not a number')
  return value
}
