/**
 * The rows of a flush as one array a column: `insert … select … from unnest(…)` and `update … from unnest(…)`.
 *
 * MikroORM writes a value for each row and column, and an update of many rows as a branch for each row, of which PostgreSQL tries half for
 * every row. With arrays both sides do less, and what is the same in all rows, such as who and when, is said once. Only what says exactly the
 * same in either form is written so; for everything else there is no statement here, and MikroORM's own is used.
 */
import type { EntityMetadata, EntityProperty } from '@mikro-orm/postgresql'
import type { DriverInternals, SchemaOptions } from '../connections/internals.ts'
import type { Row } from './attribution.ts'
import { AUDIT_FIELDS } from './audit-fields.ts'

/** A statement that numbers its parameters, and their values: texts that PostgreSQL reads as its types. */
export interface Statement {
  readonly sql: string
  readonly values: readonly (string | null)[]
}

/** How a flush asks for rows to be written: their values are those of the database already, and their collections come later. */
export interface FlushOptions extends SchemaOptions {
  readonly convertCustomTypes?: boolean
  readonly processCollections?: boolean
}

/** A value as the text that stands in an array; `undefined` where the two forms might differ. */
type Show = (value: unknown) => string | undefined

/** The part of a type of MikroORM that stands around a value. */
interface CustomType {
  convertToDatabaseValueSQL?(key: string, platform: unknown): string
}

interface Column {
  readonly name: string
  readonly quoted: string
  readonly type: string
  readonly show: Show
}

const text: Show = value => (typeof value === 'string' && !value.includes('\0') ? value : undefined)
const whole: Show = value => {
  if (typeof value === 'number' ? Number.isSafeInteger(value) : typeof value === 'bigint') return String(value)
  return typeof value === 'string' && /^-?\d+$/.test(value) ? value : undefined
}
const decimal: Show = value => {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : undefined
  return typeof value === 'string' && /^-?\d+(?:\.\d+)?$/.test(value) ? value : undefined
}
const truth: Show = value => (typeof value === 'boolean' ? String(value) : undefined)
const instant: Show = value =>
  value instanceof Date && value.getUTCFullYear() >= 1 && value.getUTCFullYear() < 10_000 ? value.toISOString() : undefined

/** By the type of a column without its length: the column itself applies that, as to any value that is assigned. */
const SHOWS: Readonly<Record<string, readonly [type: string, show: Show]>> = {
  uuid: ['uuid', text],
  text: ['text', text],
  varchar: ['text', text],
  'character varying': ['text', text],
  json: ['json', text],
  jsonb: ['jsonb', text],
  date: ['date', text],
  smallint: ['smallint', whole],
  int: ['int', whole],
  integer: ['int', whole],
  bigint: ['bigint', whole],
  numeric: ['numeric', decimal],
  decimal: ['numeric', decimal],
  real: ['real', decimal],
  'double precision': ['double precision', decimal],
  boolean: ['boolean', truth],
  timestamptz: ['timestamptz', instant],
  'timestamp with time zone': ['timestamptz', instant],
}

/** What is the same in all rows of a flush, or nearly always. */
const CONSTANTS: ReadonlySet<string> = new Set(AUDIT_FIELDS)

const columns = new WeakMap<EntityProperty, Column | null>()

/** The column of a property; `null` for one that is written in a way of its own. */
function columnOf(driver: DriverInternals, property: EntityProperty): Column | null {
  const known = columns.get(property)
  if (known !== undefined) return known
  const [type, show] = SHOWS[property.columnTypes?.[0]?.replace(/\s*\([\d, ]+\)/, '').toLowerCase() ?? ''] ?? []
  const { customType } = property as { readonly customType?: CustomType }
  const wrapped = customType?.convertToDatabaseValueSQL?.('?', driver.getPlatform()) ?? '?'
  const isPlain =
    (property.kind === 'scalar' || ((property.kind === 'm:1' || property.kind === '1:1') && property.polymorphic !== true)) &&
    property.fieldNames?.length === 1 &&
    property.columnTypes.length === 1 &&
    property.persist !== false &&
    property.generated === undefined &&
    (wrapped === '?' || wrapped === `?::${type}`)
  const made: Column | null =
    isPlain && type !== undefined && show !== undefined
      ? { name: property.name, quoted: driver.getPlatform().quoteIdentifier(property.fieldNames[0]!), type, show }
      : null
  columns.set(property, made)
  return made
}

/** What is written of all rows: constants as one value each, the others as arrays. */
interface Written {
  readonly names: readonly string[]
  readonly selected: readonly string[]
  readonly unnested: string
  readonly values: readonly (string | null)[]
}

/** Inserts rows; `undefined` where MikroORM has to. */
export function insertStatement(
  driver: DriverInternals,
  meta: EntityMetadata,
  rows: readonly Row[],
  options: FlushOptions,
): Statement | undefined {
  if (!isOfFlush(meta, rows, options) || answersSomething(meta, rows[0]!)) return undefined
  const written = writtenOf(driver, meta, rows)
  if (written === undefined) return undefined
  const { names, selected, unnested, values } = written
  return {
    sql: `insert into ${driver.getTableName(meta, options)} (${names.join(', ')}) select ${selected.join(', ')} from ${unnested}`,
    values,
  }
}

/** Updates rows by their keys, each its own way; one that deletes, those that live. `undefined` where MikroORM has to. */
export function updateStatement(
  driver: DriverInternals,
  meta: EntityMetadata,
  where: readonly unknown[],
  rows: readonly Row[],
  deletes: boolean,
  options: FlushOptions,
): Statement | undefined {
  const key = meta.primaryKeys[0]!
  if (!isOfFlush(meta, rows, options) || meta.versionProperty !== undefined || meta.getOwnConcurrencyCheckKeys().length > 0)
    return undefined
  if (key in rows[0]! || meta.props.some(({ generated }) => generated !== undefined)) return undefined
  const keys = arrayOf(driver, meta, key, where, each => (typeof each === 'object' && each !== null ? (each as Row)[key] : each))
  const written = writtenOf(driver, meta, rows, keys)
  if (keys === undefined || written === undefined) return undefined
  const { names, selected, unnested, values } = written
  const condition = deletes ? ` and t.${driver.getPlatform().quoteIdentifier(meta.properties['deletedAt']!.fieldNames[0]!)} is null` : ''
  const set = names.slice(1).map((name, index) => `${name} = ${selected[index + 1]!}`)
  return {
    sql: `update ${driver.getTableName(meta, options)} as t set ${set.join(', ')} from ${unnested} where t.${names[0]!} = ${selected[0]!}${condition}`,
    values,
  }
}

/** Whether rows are a flush's, of one table, and each with the same properties. */
function isOfFlush(meta: EntityMetadata, rows: readonly Row[], { convertCustomTypes, processCollections }: FlushOptions): boolean {
  if (convertCustomTypes !== false || processCollections !== false || rows.length < 2) return false
  if (meta.inheritanceType !== undefined || meta.root !== meta || meta.primaryKeys.length !== 1) return false
  const count = Object.keys(rows[0]!).length
  return rows.every(row => Object.keys(row).length === count)
}

/** Whether PostgreSQL fills something that the entity has to be told. */
function answersSomething(meta: EntityMetadata, row: Row): boolean {
  return meta.props.some(property => {
    if (property.returning === true) return true
    const isFilled = (property.persist !== false && property.defaultRaw) || property.autoincrement || property.generated
    return Boolean(isFilled) && !(property.name in row)
  })
}

interface ColumnArray {
  readonly column: Column
  /** As PostgreSQL reads an array. */
  readonly literal: string
}

function writtenOf(driver: DriverInternals, meta: EntityMetadata, rows: readonly Row[], keys?: ColumnArray): Written | undefined {
  const first = rows[0]!
  const names: string[] = []
  const selected: string[] = []
  const values: (string | null)[] = []
  const arrays: string[] = []
  const take = ({ column, literal }: ColumnArray): void => {
    names.push(column.quoted)
    selected.push(`v.c${arrays.length}`)
    arrays.push(`$${values.push(literal)}::${column.type}[]`)
  }
  if (keys !== undefined) take(keys)
  for (const name of Object.keys(first)) {
    if (CONSTANTS.has(name) && rows.every(row => row[name] === first[name])) {
      const column = columnOf(driver, meta.properties[name]!)
      const value = first[name] === null ? null : column?.show(first[name])
      if (column === null || value === undefined) return undefined
      names.push(column.quoted)
      selected.push(`$${values.push(value)}::${column.type}`)
      continue
    }
    const array = arrayOf(driver, meta, name, rows, row => (row as Row)[name])
    if (array === undefined) return undefined
    take(array)
  }
  if (arrays.length === 0) return undefined
  return {
    names,
    selected,
    unnested: `unnest(${arrays.join(', ')}) as v(${arrays.map((_, index) => `c${index}`).join(', ')})`,
    values,
  }
}

/** The values of one property as the literal of an array. */
function arrayOf(
  driver: DriverInternals,
  meta: EntityMetadata,
  name: string,
  from: readonly unknown[],
  valueOf: (each: unknown) => unknown,
): ColumnArray | undefined {
  const property = meta.properties[name] as EntityProperty | undefined
  const column = property === undefined ? null : columnOf(driver, property)
  if (column === null) return undefined
  let elements = ''
  for (const each of from) {
    const value = valueOf(each)
    // Instead of null, MikroORM writes a default where the column takes no null.
    const shown = value === null && property!.nullable === true ? null : column.show(value)
    if (shown === undefined) return undefined
    elements += `${elements === '' ? '' : ','}${shown === null ? 'null' : quoteElement(shown)}`
  }
  return { column, literal: `{${elements}}` }
}

/** Source: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
export function quoteElement(value: string): string {
  return value.includes('"') || value.includes('\\') ? `"${value.replace(/["\\]/g, '\\$&')}"` : `"${value}"`
}
