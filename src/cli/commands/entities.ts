/** `tenantkit entities`: which entity has its table where. It reads the configuration only; no database is needed. */
import { ConfigurationError } from '../../errors.ts'
import { classifyOptions, type TenancyOptions } from '../../options.ts'
import { table, type Output } from '../output.ts'
import type { Session } from '../session.ts'
import type { Register } from './command.ts'

const SCOPES = ['shared', 'tenant', 'both', 'unclassified'] as const
/** The mark that the wrappers leave on an entity's metadata. */
const SCOPE = Symbol.for('mikro-tenantkit.scope')
/** MikroORM's schema of tables that stand in each tenant. */
const TENANT_PLANE = '*'

type Scope = (typeof SCOPES)[number]

/** One entity in the JSON document. */
interface EntityRow {
  readonly full_name: string
  readonly table_name: string
  readonly scope: Scope
}

/** What this command reads of an entity made by `defineEntity` or a wrapper. */
interface EntityLike {
  readonly meta: {
    readonly className: string
    readonly tableName?: string
    readonly schema?: string
    readonly abstract?: boolean
    readonly embeddable?: unknown
    readonly virtual?: boolean
    readonly [SCOPE]?: Scope
  }
}

/** A pair made by `bothEntity`. */
interface PairLike {
  readonly shared: EntityLike
  readonly tenant: EntityLike
}

export const entities: Register = (program, choose) =>
  program.command(
    'entities',
    'List the entities by scope',
    command => command.option('scope', { choices: [...SCOPES, 'all'] as const, default: 'all' as const, describe: 'Only this scope' }),
    ({ scope }) => choose(session => run(session, scope)),
  )

async function run(session: Session, scope: Scope | 'all'): Promise<void> {
  const { output } = session
  const rows = rowsOf(output, await session.options())
  const shown = SCOPES.filter(each => scope === 'all' || scope === each)
  const of = (each: Scope): EntityRow[] => (shown.includes(each) ? rows.filter(row => row.scope === each) : [])
  output.result(Object.fromEntries(SCOPES.map(each => [each, of(each)])), () => [
    shown.map(each => `${each} ${of(each).length}`).join(', '),
    ...shown.flatMap(each => section(output.paint('bold', each), of(each))),
  ])
}

function section(title: string, rows: readonly EntityRow[]): string[] {
  if (rows.length === 0) return []
  return [
    '',
    title,
    ...table(
      ['entity', 'table'],
      rows.map(row => [row.full_name, row.table_name]),
    ).map(line => `  ${line}`),
  ]
}

/** Every entity with a table, once, by name. The two halves of a pair are one entity. */
function rowsOf(output: Output, options: TenancyOptions): EntityRow[] {
  const rows = allOf(output, options).flatMap((entity): EntityRow[] => {
    const { meta } = entity
    const scope = meta[SCOPE] ?? 'unclassified'
    if (meta.abstract || meta.embeddable || meta.virtual || (scope === 'both' && meta.schema !== TENANT_PLANE)) return []
    return [{ full_name: meta.className, table_name: tableOf(entity), scope }]
  })
  return rows.sort((a, b) => (a.full_name < b.full_name ? -1 : 1))
}

/** The entities of the application and the framework. Where the configuration is refused, those that it names, and why it is refused. */
function allOf(output: Output, options: TenancyOptions): EntityLike[] {
  try {
    return classifyOptions(options).all.filter(isEntity)
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    output.say(`${output.paintError('yellow', 'warning')}: ${error.message}`)
    const { shared, tenant, dual, both } = options.classification ?? {}
    const modules = [shared, tenant, dual, both].flatMap(each => Object.values(each ?? {}))
    const inputs: unknown[] = [...options.entities, ...modules.flatMap(module => Object.values<unknown>(module))]
    return [...new Set(inputs.flatMap(input => (isPair(input) ? [input.shared, input.tenant] : [input])))].filter(isEntity)
  }
}

function isEntity(value: unknown): value is EntityLike {
  return typeof value === 'object' && value !== null && typeof (value as Partial<EntityLike>).meta?.className === 'string'
}

function isPair(value: unknown): value is PairLike {
  return (
    typeof value === 'object' &&
    value !== null &&
    isEntity((value as Partial<PairLike>).shared) &&
    isEntity((value as Partial<PairLike>).tenant)
  )
}

/** The table of an entity; without a name of its own it is the entity's name in snake case, as everywhere. */
function tableOf({ meta }: EntityLike): string {
  return meta.tableName || meta.className.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
}
