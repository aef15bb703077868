/**
 * The writes of a driver, attributed: every way of MikroORM from rows to SQL that is no query builder of the application's own leads through
 * these. A flush attributed its rows already; all others are attributed here, and pass through `bulkWrite`.
 */
import { isRaw, type EntityMetadata } from '@mikro-orm/postgresql'
import type { BindingConnection, BuilderOptions, DriverInternals, DriverOptions, QueryResult } from '../connections/internals.ts'
import { insertStatement, updateStatement, type FlushOptions, type Statement } from './array-statements.ts'
import { attributeLate, isAttributed, isDeleting, isVoid, stampNow, type Row } from './attribution.ts'
import { DELETED_WITH, inheritsAudit, isAudited } from './audit-fields.ts'
import { whileCopying } from './audited-query-builder.ts'
import { bulkWrite, isRecorded, type RecordingDriver } from './bulk-write.ts'
import { refuseLayered } from './layered.ts'
import { softDelete } from './soft-deletion.ts'

type Options = DriverOptions & BuilderOptions & FlushOptions & AbortOptions & { readonly upsert?: boolean }
/** How a statement under way is given up. */
interface AbortOptions {
  readonly signal?: AbortSignal
  readonly inflightQueryAbortStrategy?: unknown
}
/** MikroORM's own method; it takes the text of the statement and its parameters to change. */
type Transform = (sql: string, params: unknown[]) => string

/** What a driver writes by: the methods of its base class. */
export interface BaseWrites {
  insert(row: Row, options: Options): Promise<unknown>
  insertMany(rows: readonly Row[], options: Options, transform?: (sql: string) => string): Promise<unknown>
  update(where: unknown, row: Row, options: Options): Promise<unknown>
  updateMany(where: readonly unknown[], rows: readonly Row[], options: Options, transform?: Transform): Promise<unknown>
  delete(where: unknown, options: Options): Promise<unknown>
  clone(where: unknown, overrides: Row | undefined, options: Options): Promise<unknown>
}

/** What MikroORM answers for a row that had nothing to write. */
const NOTHING: QueryResult = { affectedRows: 1, insertId: 0, row: {}, rows: [] }

/** Inserts one row. @throws NO_ACTOR */
export async function insertRow(
  driver: DriverInternals,
  entity: unknown,
  row: Row,
  options: Options = {},
  base: BaseWrites,
): Promise<unknown> {
  const meta = driver.metadata.find(entity)
  refuseBulk(meta, 'em().insert()', options)
  if (!carriesAudit(meta)) return base.insert(row, options)
  const isBulk = !isAttributed(row)
  attributeLate(row, 'create', options.ctx)
  return recorded(isBulk, { driver, meta: meta!, action: 'create', transaction: options.ctx, data: row }, ctx =>
    base.insert(row, { ...options, ctx }),
  )
}

/** Inserts rows. @throws NO_ACTOR */
export async function insertRows(
  driver: DriverInternals,
  entity: unknown,
  rows: readonly Row[],
  options: Options = {},
  base: BaseWrites,
): Promise<unknown> {
  const meta = driver.metadata.find(entity)
  refuseBulk(meta, 'em().insertMany()', options)
  if (!carriesAudit(meta)) return base.insertMany(rows, options)
  const isBulk = !rows.every(isAttributed)
  for (const row of rows) attributeLate(row, 'create', options.ctx)
  const statement = isBulk ? undefined : insertStatement(driver, meta!, rows, options)
  if (statement !== undefined) return send(driver, meta!, statement, rows, options)
  const { rows: others, text } = insertedConstants(driver, meta!, rows)
  return recorded(isBulk, { driver, meta: meta!, action: 'create', transaction: options.ctx }, ctx =>
    base.insertMany(others, { ...options, ctx }, text),
  )
}

/** Updates the rows of a condition, or inserts one that may exist. @throws NO_ACTOR, VALIDATION_FAILED */
export async function updateRows(
  driver: DriverInternals,
  entity: unknown,
  where: unknown,
  row: Row,
  options: Options = {},
  base: BaseWrites,
): Promise<unknown> {
  const meta = driver.metadata.find(entity)
  refuseBulk(meta, options.upsert === true ? 'em().upsert()' : 'em().nativeUpdate()', options)
  if (!carriesAudit(meta)) return base.update(where, row, options)
  // A flush that cannot write a relation at once writes it afterwards, past its subscribers; the history has it from the flush.
  const isBulk = !isAttributed(row) && (options.convertCustomTypes !== false || options.upsert === true)
  attributeLate(row, options.upsert === true ? 'create' : 'update', options.ctx)
  if (isVoid(row)) return NOTHING
  const condition = isDeleting(row) ? { $and: [whereOf(meta!, where), { deletedAt: null }] } : where
  const action = options.upsert === true ? 'create' : 'update'
  const write = { driver, meta: meta!, action, transaction: options.ctx, data: row, where } as const
  const result = (await recorded(isBulk, write, ctx => base.update(condition, row, { ...options, ctx }))) as QueryResult
  // Deleted already, which is no stale version: unless a version was asked for.
  const isNothing = isDeleting(row) && result.affectedRows === 0 && !hasVersion(meta!, where)
  return isNothing ? NOTHING : result
}

/** Updates rows, each its own way, or inserts those that do not exist. @throws NO_ACTOR, VALIDATION_FAILED */
export async function updateEachRow(
  driver: DriverInternals,
  entity: unknown,
  where: readonly unknown[],
  rows: readonly Row[],
  options: Options = {},
  base: BaseWrites,
): Promise<unknown> {
  const meta = driver.metadata.find(entity)
  refuseBulk(meta, 'em().upsertMany()', options)
  // A deleted row of a table for each type says so in its parent's alone.
  if (rows.every(row => Object.keys(row).length === 0)) return { ...NOTHING, affectedRows: rows.length }
  if (!carriesAudit(meta)) return base.updateMany(where, rows, options)
  const isBulk = !rows.every(isAttributed)
  const isUpsert = options.upsert === true
  for (const row of rows) attributeLate(row, isUpsert ? 'create' : 'update', options.ctx)
  if (isUpsert) {
    return recorded(isBulk, { driver, meta: meta!, action: 'create', transaction: options.ctx }, ctx =>
      base.updateMany(where, rows, { ...options, ctx }),
    )
  }
  // Rows of one flush differ in what they change; deleting, updating and doing nothing are not one statement.
  const groups = [
    { deletes: false, indexes: indexesOf(rows, row => !isVoid(row) && !isDeleting(row)) },
    { deletes: true, indexes: indexesOf(rows, isDeleting) },
  ].filter(({ indexes }) => indexes.length > 0)
  const results: QueryResult[] = []
  for (const { deletes, indexes } of groups) {
    const isAll = indexes.length === rows.length
    const chosen = isAll ? rows : indexes.map(index => rows[index]!)
    const conditions = isAll ? where : indexes.map(index => where[index])
    const statement = isBulk ? undefined : updateStatement(driver, meta!, conditions, chosen, deletes, options)
    if (statement !== undefined) {
      results.push(await send(driver, meta!, statement, chosen, options))
      continue
    }
    const transform = constantsOf(driver, meta!, chosen, deletes, options)
    const written = (ctx: unknown) =>
      base.updateMany(conditions, transform.rows, { ...options, ctx }, transform.text) as Promise<QueryResult>
    results.push(await recorded(isBulk, { driver, meta: meta!, action: 'update', transaction: options.ctx }, written))
  }
  const all = results.flatMap(({ rows: found }) => found ?? [])
  return { ...(results[0] ?? NOTHING), affectedRows: results.reduce((sum, each) => sum + each.affectedRows, 0), rows: all }
}

/** Deletes the live rows of a condition, softly, and what goes along. @throws NO_ACTOR, CONFLICT */
export async function deleteRows(
  driver: DriverInternals,
  entity: unknown,
  where: unknown,
  options: Options = {},
  base: BaseWrites,
): Promise<unknown> {
  const meta = driver.metadata.find(entity)
  refuseLayered(meta, 'em().nativeDelete()')
  return carriesAudit(meta) ? softDelete(driver, meta!, where, options) : base.delete(where, options)
}

/** Copies a row; the copy is its own row, which the actor makes now. @throws NO_ACTOR */
export async function cloneRow(
  driver: DriverInternals,
  entity: unknown,
  where: unknown,
  overrides: Row | undefined,
  options: Options = {},
  base: BaseWrites,
): Promise<unknown> {
  const meta = driver.metadata.find(entity)
  refuseLayered(meta, 'em().clone()')
  if (!carriesAudit(meta)) return base.clone(where, overrides, options)
  const { at, by } = stampNow(options.ctx)
  const audit: Row = { createdAt: at, createdBy: by, updatedAt: at, updatedBy: by, deletedAt: null, deletedBy: null }
  if (DELETED_WITH in meta!.properties) audit[DELETED_WITH] = null
  return bulkWrite({ driver, meta: meta!, action: 'create', transaction: options.ctx }, ctx =>
    whileCopying(() => base.clone(where, { ...overrides, ...audit }, { ...options, ctx })),
  )
}

/**
 * Whether the table of an entity has the fields. Many rows of a table for each type are not one table's: a flush knows how to write them.
 */
function carriesAudit(meta: EntityMetadata | undefined): boolean {
  return isAudited(meta) && !inheritsAudit(meta!)
}

/** A flush has converted its values already, which nothing else has: it writes each table of an entity, and attributes them. */
function refuseBulk(meta: EntityMetadata | undefined, what: string, options: Options): void {
  if (options.convertCustomTypes !== false || options.upsert === true) refuseLayered(meta, what)
}

/** A flush asks for nothing back. */
async function send(
  driver: DriverInternals,
  meta: EntityMetadata,
  { sql, values }: Statement,
  rows: readonly Row[],
  options: Options,
): Promise<QueryResult> {
  const { signal, inflightQueryAbortStrategy, ctx } = options
  const connection = driver.getConnection('write') as unknown as BindingConnection
  const abort = signal === undefined ? undefined : { signal, inflightQueryAbortStrategy }
  const answer = driver.rethrow(connection.executeBound(sql, values, ctx, abort))
  if (isRecorded(driver, meta)) (driver as unknown as RecordingDriver).rowsSent(rows)
  return (await answer) as QueryResult
}

type Write = Parameters<typeof bulkWrite>[0]

async function recorded<Result>(isBulk: boolean, write: Write, run: (transaction: unknown) => Promise<Result>): Promise<Result> {
  return isBulk ? bulkWrite(write, run) : run(write.transaction)
}

function indexesOf(rows: readonly Row[], wanted: (row: Row) => boolean): number[] {
  return rows.flatMap((row, index) => (wanted(row) ? [index] : []))
}

const CREATED = ['createdAt', 'createdBy', 'updatedAt', 'updatedBy']

/** The same for rows that are inserted: written once, as text behind each row's own values. */
function insertedConstants(
  driver: DriverInternals,
  meta: EntityMetadata,
  rows: readonly Row[],
): { readonly rows: readonly Row[]; readonly text?: (sql: string) => string } {
  const first = rows[0]
  if (rows.length < 2 || first === undefined || rows.some(row => !isPlainRow(meta, row) || CREATED.some(name => row[name] !== first[name])))
    return { rows }
  const platform = driver.getPlatform()
  const values = CREATED.map(name => platform.quoteValue(first[name])).join(', ')
  // A question mark would be taken for a parameter.
  if (values.includes('?')) return { rows }
  const columns = CREATED.map(name => platform.quoteIdentifier(meta.properties[name]!.fieldNames[0]!)).join(', ')
  const text = (sql: string): string => {
    const begin = sql.indexOf(') values (')
    const end = sql.lastIndexOf(')') === sql.length - 1 ? sql.length - 1 : sql.lastIndexOf(') returning ')
    const own = sql.slice(begin + ') values ('.length, end)
    return `${sql.slice(0, begin)}, ${columns}) values (${own.replaceAll('), (', `, ${values}), (`)}, ${values}${sql.slice(end)}`
  }
  return { rows: rows.map(row => without(row, CREATED)), text }
}

/** Whether each value of a row is one parameter, and nothing of SQL stands around it. */
function isPlainRow(meta: EntityMetadata, row: Row): boolean {
  let count = 0
  for (const name in row) {
    const type = meta.properties[name]?.customType as object | undefined
    if (isRaw(row[name]) || (type !== undefined && 'convertToDatabaseValueSQL' in type)) return false
    count++
  }
  return count > CREATED.length
}

function without(row: Row, properties: readonly string[]): Row {
  const rest: Row = {}
  for (const property in row) if (!properties.includes(property)) rest[property] = row[property]
  return rest
}

function hasVersion(meta: EntityMetadata, where: unknown): boolean {
  const version = meta.versionProperty as string | undefined
  return version !== undefined && typeof where === 'object' && where !== null && version in where
}

function whereOf(meta: EntityMetadata, where: unknown): object {
  return typeof where === 'object' && where !== null ? where : { [meta.primaryKeys[0]!]: where }
}

/**
 * Who and when is the same in every row of a flush: said once, not once a row, in a statement that otherwise has a branch for each row and
 * column. A row that was deleted meanwhile is left as it is.
 */
function constantsOf(
  driver: DriverInternals,
  meta: EntityMetadata,
  rows: readonly Row[],
  deletes: boolean,
  options: Options,
): { readonly rows: readonly Row[]; readonly text?: Transform } {
  const properties = deletes ? ['updatedAt', 'updatedBy', 'deletedAt', 'deletedBy'] : ['updatedAt', 'updatedBy']
  const first = rows[0]!
  if (rows.some(row => properties.some(property => row[property] !== first[property]))) return { rows }
  const quote = (name: string) => driver.getPlatform().quoteIdentifier(meta.properties[name]!.fieldNames[0]!)
  const set = properties.map(property => `${quote(property)} = ?`).join(', ')
  const values = properties.map(property => first[property])
  const begins = `update ${driver.getTableName(meta, options)} set `
  const others = rows.map(row => without(row, properties))
  const hasOthers = others.some(row => Object.keys(row).length > 0)
  const text: Transform = (sql, params) => {
    params.unshift(...values)
    // With nothing else to set, MikroORM took the two characters of a comma from the end that was not there.
    const rest = hasOthers ? `, ${sql.slice(begins.length)}` : ` where ${sql.slice(sql.indexOf(' where ') + ' where '.length)}`
    const whole = `${begins}${set}${rest}`
    if (!deletes) return whole
    const end = whole.lastIndexOf(' returning ')
    const condition = ` and ${quote('deletedAt')} is null`
    return end === -1 ? `${whole}${condition}` : `${whole.slice(0, end)}${condition}${whole.slice(end)}`
  }
  return { rows: others, text }
}
