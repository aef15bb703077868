/**
 * `tenantSql`: raw SQL in which entities stand for their tables.
 *
 * What was interpolated is kept, and becomes SQL each time the fragment is executed: a fragment belongs to no tenant, it names the tables of
 * whichever is active then.
 */
import { EntitySchema, RawQueryFragment, type EntityMetadata, type InferEntity } from '@mikro-orm/postgresql'
import { CONTROL_ONLY, SCOPE, VISIBLE_TO, hasTable, marksOf, planeOf } from '../classification/scope.ts'
import { lexemes } from '../connections/single-statement.ts'
import { em } from '../context/context.ts'
import { CrossDatabaseQueryError, CrossTenantEntityError, NoTenantContextError, SqlRefusedError } from '../errors.ts'
import { SHARED_SCHEMA, parseIdentifier, quoteForeignName } from '../naming.ts'
import { refuseSharedWrite } from './pinned-query-builder.ts'
import { tenantDriverOf, type TenantDriver } from './tenant-driver.ts'

/** A value that is bound as a parameter. */
export type TenantSqlScalar = string | number | bigint | boolean | Date | Uint8Array | null

/** An entity whose table is meant: what `tenantEntity` or `sharedEntity` gives, a half of a both entity, or an entity's class. */
export type TenantSqlEntity = EntitySchema | (abstract new (...args: never[]) => object)

/** What may stand in `${…}`. */
export type TenantSqlValue = TenantSqlScalar | readonly TenantSqlScalar[] | TenantSqlEntity | TenantSql

type Piece =
  /** SQL as it was written, comments left out; `names` are its words and punctuation, for looking back. */
  | { readonly kind: 'text'; readonly text: string; readonly names: readonly string[] }
  /** The same with a question mark in it, which MikroORM would take for a parameter. */
  | { readonly kind: 'verbatim'; readonly text: string }
  | { readonly kind: 'table'; readonly entity: TenantSqlEntity }
  | { readonly kind: 'column'; readonly entity: TenantSqlEntity; readonly property: string; readonly alias: string | undefined }
  | { readonly kind: 'values'; readonly values: readonly TenantSqlScalar[] }

interface Written {
  readonly sql: string
  readonly params: readonly unknown[]
}

/** A fragment made by {@link tenantSql}. `em().execute`, `em().getConnection().execute` and query builders take it like MikroORM's `raw`. */
export class TenantSql extends RawQueryFragment {
  readonly #pieces: readonly Piece[]

  /** @internal Use {@link tenantSql}. */
  constructor(pieces: readonly Piece[]) {
    super('')
    this.#pieces = pieces
    // MikroORM reads these two when it executes; until then nobody knows the tenant.
    Object.defineProperty(this, 'sql', { get: () => this.#write().sql, enumerable: false })
    Object.defineProperty(this, 'params', { get: () => this.#write().params, enumerable: false })
  }

  /** @internal */
  static piecesOf(fragment: TenantSql): readonly Piece[] {
    return fragment.#pieces
  }

  override as(alias: string): TenantSql {
    return new TenantSql([...this.#pieces, textOf(` as ${quoteForeignName(alias)}`)])
  }

  /** Without the values, and without a tenant: for logs. */
  override toJSON(): string {
    const shown = this.#pieces.map(piece => {
      if (piece.kind === 'table') return `{${nameOf(piece.entity)}}`
      if (piece.kind === 'column') return `{${nameOf(piece.entity)}.${piece.property}}`
      return piece.kind === 'values' ? '?' : piece.text
    })
    return `tenantSql(${shown.join('')})`
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toJSON()
  }

  #write(): Written {
    const driver = tenantDriverOf(em())
    if (driver === undefined) throw new NoTenantContextError()
    driver.assertActive()
    const written = { sql: '', params: [] as unknown[] }
    const before: string[] = []
    for (const [index, piece] of this.#pieces.entries()) {
      if (piece.kind === 'text') before.push(...piece.names)
      else if (piece.kind !== 'table') before.push('?')
      writePiece(piece, { driver, written, before, next: this.#pieces[index + 1] })
      if (piece.kind === 'table') before.push('?')
    }
    return written
  }
}

interface Place {
  readonly driver: TenantDriver
  readonly written: { sql: string; readonly params: unknown[] }
  readonly before: readonly string[]
  readonly next: Piece | undefined
}

function writePiece(piece: Piece, { driver, written, before, next }: Place): void {
  if (piece.kind === 'text') written.sql += piece.text
  else if (piece.kind === 'table') written.sql += tableOf(piece.entity, driver, before, next)
  else if (piece.kind === 'column') written.sql += columnOf(piece, driver)
  else {
    const params = piece.kind === 'verbatim' ? [new RawQueryFragment(piece.text)] : piece.values
    // Spaces, since two question marks in a row are an identifier to MikroORM, and `-` before a negative number a comment to PostgreSQL.
    written.sql += ` ${params.map(() => '?').join(' , ')} `
    written.params.push(...params)
  }
}

/**
 * Writes SQL for the active tenant: entities become their tables with the tenant's schema, everything else becomes a bound parameter.
 *
 * The fragment is given to `em().execute(…)`, which joins the open transaction, or to a query builder; fragments nest. A list stands in
 * `in (${list})`. Filters do not apply: soft-deleted rows are yours to leave out (`where i.deleted_at is null`). Shared entities are read
 * and not written; of those with `visibleTo`, the tenant's rows are seen (with an alias, which PostgreSQL 15 needs).
 *
 * @throws SQL_REFUSED at once for what can be neither a table nor a parameter; when executed NO_TENANT_CONTEXT, CROSS_TENANT_ENTITY for
 * tables of the control plane and writes of shared ones, CROSS_DATABASE_QUERY for shared entities where the tenant has a database of its own
 * @example
 * const rows = await em().execute<{ total: string }[]>(tenantSql`
 *   select sum(i.total) as total from ${Invoice} i join ${Customer} c on c.id = i.customer_id
 *   where c.city = ${city} and i.${tenantSql.column(Invoice, 'dueAt')} < ${date} and i.deleted_at is null`)
 */
export const tenantSql = Object.assign(
  (texts: TemplateStringsArray, ...values: readonly TenantSqlValue[]): TenantSql => {
    // Not a call with a string somebody made: what stands in a template was written by the programmer.
    if (!Array.isArray(texts) || !Array.isArray(texts.raw))
      throw refused('A call of tenantSql with a string', 'Write it as a template: tenantSql`select …`.')
    return new TenantSql(parse(texts, values))
  },
  {
    /**
     * The column of a property, quoted, with an alias before it if one is given.
     *
     * @example tenantSql`order by ${tenantSql.column(Invoice, 'dueAt', 'i')}`
     */
    column: <E extends TenantSqlEntity>(entity: E, property: PropertyOf<E>, alias?: string): TenantSql =>
      new TenantSql([{ kind: 'column', entity, property, alias: alias === undefined ? undefined : parseIdentifier(alias, 'alias') }]),

    /**
     * Fragments one after the other, for conditions that are put together at run time. At least one.
     *
     * @example tenantSql`select count(*) from ${Invoice} i where ${tenantSql.join(conditions, ' and ')}`
     */
    join: (fragments: readonly TenantSql[], separator: ', ' | ' and ' | ' or '): TenantSql => {
      if (fragments.length === 0) throw refused('An empty list of fragments', 'Leave the clause out, or begin with tenantSql`true`.')
      if (![', ', ' and ', ' or '].includes(separator)) throw refused('This separator', "Use ', ', ' and ' or ' or '.")
      return new TenantSql(
        fragments.flatMap((fragment, index) => [...(index === 0 ? [] : [textOf(separator)]), ...TenantSql.piecesOf(fragment)]),
      )
    },
  },
)

type PropertyOf<E> = E extends abstract new (...args: never[]) => infer T ? keyof T & string : keyof InferEntity<E> & string

/** Stands for what is interpolated while the text is read; PostgreSQL takes no such character. */
const HOLE = '\0'
const OPERATOR = /^[-+*/<>=~!@#%^&|`?]+$/

function parse(texts: readonly (string | undefined)[], values: readonly TenantSqlValue[]): Piece[] {
  if (texts.some(text => text === undefined || text.includes(HOLE))) throw refused('A zero byte or an invalid escape', 'Leave it out.')
  const pieces: Piece[] = []
  const open = { text: '', names: [] as string[] }
  const close = () => {
    if (open.text !== '') pieces.push({ kind: 'text', text: open.text, names: open.names })
    open.text = ''
    open.names = []
  }
  let index = 0
  for (const { kind, value } of joined(texts.join(HOLE))) {
    if (value === HOLE) {
      close()
      pieces.push(...piecesOf(values[index++]!, pieces))
      continue
    }
    if (value.includes(HOLE))
      throw refused('A value inside a string, a quoted name or a comment', 'Put it outside: it brings its own quotes.')
    if (value === ';') throw refused('A semicolon', 'Send one statement with each call.')
    if (value.includes('?') && kind !== 'comment' && kind !== 'space') {
      close()
      pieces.push({ kind: 'verbatim', text: value })
      continue
    }
    const blank = kind === 'comment' || kind === 'space'
    open.text += blank ? ' ' : value
    if (!blank) open.names.push(kind === 'word' ? value.toLowerCase() : value)
  }
  close()
  return pieces
}

/** Lexemes, with the characters of an operator put together. */
function* joined(sql: string): Generator<{ readonly kind: string; readonly value: string }> {
  let operator = ''
  for (const { kind, value } of lexemes(sql)) {
    if (kind === 'other' && OPERATOR.test(value)) {
      operator += value
      continue
    }
    if (operator !== '') yield { kind: 'other', value: operator }
    operator = ''
    yield { kind, value }
  }
  if (operator !== '') yield { kind: 'other', value: operator }
}

function piecesOf(value: TenantSqlValue, before: readonly Piece[]): readonly Piece[] {
  if (value instanceof TenantSql) return TenantSql.piecesOf(value)
  if (value instanceof EntitySchema || typeof value === 'function') return [{ kind: 'table', entity: value }]
  if (!Array.isArray(value)) return [{ kind: 'values', values: [scalarOf(value)] }]
  const [last, previous] = before.flatMap(piece => (piece.kind === 'text' ? piece.names : ['?'])).toReversed()
  if (last !== '(' || previous !== 'in') throw refused('A list that does not stand in "in (…)"', 'Write in (${list}).')
  if (value.length === 0) throw refused('An empty list', 'Ask for its length first: PostgreSQL knows no empty "in ()".')
  return [{ kind: 'values', values: value.map(scalarOf) }]
}

function scalarOf(value: unknown): TenantSqlScalar {
  if (value === null || typeof value === 'bigint' || typeof value === 'boolean') return value
  if (typeof value === 'string' && !value.includes('\0')) return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value
  if (value instanceof Uint8Array) return Buffer.from(value)
  throw refused(
    `A value of the type ${value === undefined ? 'undefined' : ((Object.getPrototypeOf(Object(value)) as object | null)?.constructor.name ?? 'object')}`,
    'Values are strings, numbers, booleans, dates, bytes, null, and lists of them; JSON is JSON.stringify(…). Of a both entity take one half: User.tenant.',
  )
}

function tableOf(entity: TenantSqlEntity, driver: TenantDriver, before: readonly string[], next: Piece | undefined): string {
  const meta = metaOf(entity, driver)
  const table = quoteForeignName(meta.tableName)
  if (planeOf(meta) === 'tenant') return `${quoteForeignName(driver.tenant.schema)}.${table}`
  const marks = marksOf(meta)
  if (marks[SCOPE] === 'both' || marks[CONTROL_ONLY] === true) {
    throw new CrossTenantEntityError(
      `${meta.className} belongs to the control plane alone, and a tenant is active.`,
      'Use the tenant half of a both entity here; the control plane is reached by controlEm().',
    )
  }
  if (driver.tenant.isolation === 'database') throw new CrossDatabaseQueryError(meta.className)
  const isColumn = next?.kind === 'text' && next.text.startsWith('.')
  if (!isColumn && !isRead(before)) refuseSharedWrite(meta.className, driver.tenant.slug)
  const place = `${quoteForeignName(meta.schema ?? SHARED_SCHEMA)}.${table}`
  const visibleTo = marks[VISIBLE_TO]
  if (visibleTo === undefined) return place
  if (isColumn)
    throw refused(`A column by the table's name of ${meta.className}, whose rows are for some tenants only`, 'Give the table an alias.')
  const column = quoteForeignName(meta.properties[visibleTo]!.fieldNames[0]!)
  return `(select * from ${place} where ${column} = '{}' or ${column} @> array['${driver.tenant.id}']::uuid[])`
}

/** Whether a table named after these words is only read. What is not known to be a reading is not one. */
function isRead(before: readonly string[]): boolean {
  const [last, previous, ...rest] = before.toReversed()
  if (last === 'only') return isRead(before.slice(0, -1))
  if (last === 'from') return previous !== 'delete'
  if (last === ',' || last === '(') return ![previous, ...rest].some(word => word === 'truncate' || word === 'lock')
  return last === 'join' || last === 'using'
}

function columnOf({ entity, property, alias }: Extract<Piece, { kind: 'column' }>, driver: TenantDriver): string {
  const meta = metaOf(entity, driver)
  const found = Object.hasOwn(meta.properties, property) ? meta.properties[property] : undefined
  const names = found?.persist === false || found?.kind === '1:m' || found?.kind === 'm:n' ? [] : (found?.fieldNames ?? [])
  if (names.length !== 1)
    throw refused(`The property ${JSON.stringify(property)} of ${meta.className}`, 'Name a property that is stored in one column.')
  return `${alias === undefined ? '' : `${quoteForeignName(alias)}.`}${quoteForeignName(names[0]!)}`
}

/** Found by its class, not by its name: two classes may be named alike. */
function metaOf(entity: TenantSqlEntity, driver: TenantDriver): EntityMetadata {
  const known = entity instanceof EntitySchema ? (entity.meta.class as unknown) : entity
  const meta = driver.metadata.find(known)
  if (meta === undefined || (meta.class as unknown) !== known || !hasTable(meta))
    throw refused(`${nameOf(entity)}, which is no entity with a table in this tenancy,`, 'List it in the entities of defineTenancy.')
  return meta
}

function nameOf(entity: TenantSqlEntity): string {
  return entity instanceof EntitySchema ? entity.meta.className : entity.name
}

function textOf(text: string): Piece {
  return { kind: 'text', text, names: text.trim() === '' ? [] : [text.trim()] }
}

const refused = (what: string, hint: string) => new SqlRefusedError(what, hint)
