/**
 * SQL of plain look-ups, kept by their shape: `findOne(Item, { id })` becomes the same text each time but for the schema and the values.
 *
 * A template is what the pinned query builder itself wrote, with marks in the place of the values, and it is kept only when, filled with
 * the values at hand, it is what the builder writes for those. Everything that is not plain (operators, relations, joins, orders, locks,
 * custom SQL) goes the builder's way. Templates belong to no tenant: the schema is put in for each run.
 */
import { Utils, type EntityMetadata } from '@mikro-orm/postgresql'
import { planeOf } from '../classification/scope.ts'
import type { DriverInternals, DriverOptions } from '../connections/internals.ts'
import { quoteForeignName } from '../naming.ts'
import type { PinnedTo } from './pinned-query-builder.ts'

/** The driver of a run. */
export type RunDriver = DriverInternals & PinnedTo

/** A statement around the schema, and where its parameters come from. */
interface Template {
  readonly before: string
  readonly after: string
  readonly params: readonly Parameter[]
}

/** The number of a value among those that are looked for, or a parameter that is always the same. */
type Parameter = { readonly value: number } | { readonly constant: unknown }

interface Known {
  /** The properties that may be looked for. */
  readonly plain: ReadonlySet<string>
  /** `undefined` while it is not made, and where it cannot be. */
  readonly templates: Map<string, Template | undefined>
}

/** How many shapes of one entity are kept. */
export const MAX_SHAPES = 100

const known = new WeakMap<EntityMetadata, Known>()

/** Rows of a plain look-up, or `undefined` where the query builder is needed. It writes nothing and joins nothing. */
export function selectByTemplate(
  driver: RunDriver,
  meta: EntityMetadata,
  where: unknown,
  options: DriverOptions,
  limit: number | undefined,
): Promise<unknown[]> | undefined {
  if (!areNeutral(options, driver.tenant.schema)) return undefined
  let of = known.get(meta)
  if (of === undefined) known.set(meta, (of = knownOf(meta)))
  const shape = shapeOf(of.plain, where, limit)
  if (shape === undefined) return undefined
  const template = of.templates.get(shape)
  if (template !== undefined) return driver.rethrow(select(driver, meta, template, Object.values(where as object), options))
  if (of.templates.size < MAX_SHAPES && !of.templates.has(shape)) learn(driver, meta, of, shape, { where: where as object, limit })
  return undefined
}

async function select(
  driver: RunDriver,
  meta: EntityMetadata,
  template: Template,
  values: readonly unknown[],
  { ctx, em, logging }: DriverOptions,
): Promise<unknown[]> {
  const { sql, params } = fill(template, driver.tenant.schema, values)
  const rows = (await driver.getConnection().execute(sql, params, 'all', ctx, { id: em?.id, ...logging })) as unknown[]
  return rows.map(row => driver.mapResult(row, meta))
}

function fill({ before, after, params }: Template, schema: string, values: readonly unknown[]) {
  return {
    sql: `${before}${quoteForeignName(schema)}${after}`,
    params: params.map(param => ('value' in param ? values[param.value] : param.constant)),
  }
}

/** Whether options leave the statement as it is. Those that are not known do not; what concerns joins is nothing where nothing is joined. */
function areNeutral(options: DriverOptions, schema: string): boolean {
  for (const name in options) {
    const value: unknown = (options as Record<string, unknown>)[name]
    if (value === undefined || NEUTRAL.has(name)) continue
    if (name === 'schema') {
      if (value !== null && value !== schema) return false
    } else if (!EMPTY.has(name) || !isEmpty(value)) return false
  }
  // A session is set in a transaction of its own.
  return options.ctx != null || options.em?.getTransactionSessionContext() == null
}

const NEUTRAL: ReadonlySet<string> = new Set([
  'ctx', 'em', 'logging', 'loggerContext', 'limit', 'refresh', 'cache', 'strategy', 'flushMode', 'disableIdentityMap', 'filters',
  'populateWhere', '_populateWhere', 'populateFilter',
]) // prettier-ignore
/** Neutral when they are empty. */
const EMPTY: ReadonlySet<string> = new Set(['populate', 'orderBy'])

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) ? value.length === 0 : Utils.isPlainObject(value) && Reflect.ownKeys(value).length === 0
}

function knownOf(meta: EntityMetadata): Known {
  const plain = new Set<string>()
  const isPlainEntity =
    planeOf(meta) === 'tenant' &&
    meta.inheritanceType === undefined &&
    meta.virtual !== true &&
    meta.view !== true &&
    // Joined whether they are asked for or not.
    meta.relations.every(({ kind, owner }) => kind !== '1:1' || owner === true) &&
    meta.props.every(({ formula }) => formula === undefined)
  if (!isPlainEntity) return { plain, templates: new Map() }
  for (const property of meta.props) {
    const { name, kind, persist, fieldNames, embedded, object, hasConvertToDatabaseValueSQL: converts } = property
    if (kind !== 'scalar' || persist === false || fieldNames?.length !== 1 || embedded !== undefined) continue
    if (object !== true && converts !== true) plain.add(name)
  }
  return { plain, templates: new Map() }
}

/** The names that are looked for, whether each is null, and the limit; `undefined` if it is no plain comparison with plain values. */
function shapeOf(plain: ReadonlySet<string>, where: unknown, limit: number | undefined): string | undefined {
  if (!Utils.isPlainObject(where) || Object.getOwnPropertySymbols(where).length > 0 || '__strict' in where) return undefined
  let shape = String(limit)
  for (const name in where) {
    if (!plain.has(name)) return undefined
    const value: unknown = where[name]
    if (value === null) shape += `|${name} is null`
    else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') shape += `|${name}`
    else return undefined
  }
  return shape
}

interface LookedFor {
  readonly where: object
  readonly limit: number | undefined
}

/** Nobody waits for it: who comes meanwhile goes the builder's way, and so does everyone if it comes to nothing. */
function learn(driver: RunDriver, meta: EntityMetadata, { templates }: Known, shape: string, lookedFor: LookedFor): void {
  templates.set(shape, undefined)
  templateOf(driver, meta, lookedFor).then(
    template => templates.set(shape, template),
    () => templates.delete(shape),
  )
}

async function templateOf(driver: RunDriver, meta: EntityMetadata, { where, limit }: LookedFor): Promise<Template | undefined> {
  const { schema } = driver.tenant
  const written = async (values: object) => {
    const builder = await driver.createQueryBuilderFromOptions(meta, values, { populate: [], orderBy: [], limit })
    return builder.toQuery()
  }
  const marks = new Map<unknown, number>()
  const marked = Object.entries(where).map(([name, value], number): [string, unknown] => {
    if (value === null) return [name, null]
    const mark = `\u0001${number}`
    marks.set(mark, number)
    return [name, mark]
  })
  const { sql, params } = await written(Object.fromEntries(marked))
  // Named twice, the schema might be an alias or a text as well.
  const parts = sql.split(quoteForeignName(schema))
  if (parts.length !== 2) return undefined
  const template: Template = {
    before: parts[0]!,
    after: parts[1]!,
    params: params.map(param => (marks.has(param) ? { value: marks.get(param)! } : { constant: param })),
  }
  const [expected, filled] = [await written({ ...where }), fill(template, schema, Object.values(where))]
  const isSame = filled.sql === expected.sql && filled.params.length === expected.params.length
  return isSame && filled.params.every((param, index) => Object.is(param, expected.params[index])) ? template : undefined
}
