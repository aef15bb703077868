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
/** Whose entities those of no module are. */
const FRAMEWORK = 'mikro-tenantkit'
const APPLICATION = 'application'
const LEGEND = 'flags: migrate = a migration makes its table, global = can be asked without a tenant, both = a table in each plane'

type Scope = (typeof SCOPES)[number]

/** One entity in the JSON document. */
interface EntityRow {
  /** With its module, if the configuration names one. */
  readonly full_name: string
  /** The module of the configuration, `application` for entities of none, `mikro-tenantkit` for the framework's. */
  readonly app_label: string
  readonly model_name: string
  /** Empty for what has no table of its own. */
  readonly table_name: string
  readonly auto_migrate: boolean
  readonly allow_global_queries: boolean
  readonly scope: Scope
}

interface Arguments {
  readonly scope: Scope | 'all'
  readonly app: string | undefined
  readonly includeUnregistered: boolean
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
    command =>
      command
        .option('scope', { choices: [...SCOPES, 'all'] as const, default: 'all' as const, describe: 'Only this scope' })
        .option('app', {
          type: 'string',
          requiresArg: true,
          describe: `Only this module of the configuration; ${APPLICATION} for those of none`,
        })
        .option('include-unregistered', {
          type: 'boolean',
          default: false,
          describe: 'Also what has no table of its own: abstract entities, embeddables, virtual entities',
        }),
    ({ scope, app, includeUnregistered }) => choose(session => run(session, { scope, app, includeUnregistered })),
  )

async function run(session: Session, { scope, app, includeUnregistered }: Arguments): Promise<void> {
  const { output } = session
  const rows = rowsOf(output, await session.options(), includeUnregistered).filter(row => app === undefined || row.app_label === app)
  const shown = SCOPES.filter(each => scope === 'all' || scope === each)
  const of = (each: Scope): EntityRow[] => (shown.includes(each) ? rows.filter(row => row.scope === each) : [])
  output.result(Object.fromEntries(SCOPES.map(each => [each, of(each)])), () => [
    shown.map(each => `${each} ${of(each).length}`).join(', '),
    ...shown.flatMap(each => section(output.paint('bold', each), of(each))),
    '',
    output.paint('dim', LEGEND),
  ])
}

function section(title: string, rows: readonly EntityRow[]): string[] {
  if (rows.length === 0) return []
  return [
    '',
    title,
    ...table(
      ['entity', 'table', 'module', 'flags'],
      rows.map(row => [row.model_name, row.table_name, row.app_label, flagsOf(row)]),
    ).map(line => `  ${line}`),
  ]
}

function flagsOf(row: EntityRow): string {
  const flags = [row.auto_migrate && 'migrate', row.allow_global_queries && 'global', row.scope === 'both' && 'both']
  return flags.filter(flag => flag !== false).join(', ')
}

/** Every entity, once, by name. The two halves of a pair are one entity. */
function rowsOf(output: Output, options: TenancyOptions, includeUnregistered: boolean): EntityRow[] {
  const modules = modulesOf(options)
  const rows = allOf(output, options).flatMap((entity): EntityRow[] => {
    const { meta } = entity
    const hasTable = !(meta.abstract || meta.embeddable || meta.virtual)
    const scope = meta[SCOPE] ?? 'unclassified'
    if ((!hasTable && !includeUnregistered) || (scope === 'both' && meta.schema !== TENANT_PLANE)) return []
    const app_label = modules.get(entity) ?? FRAMEWORK
    return [
      {
        full_name: app_label === APPLICATION || app_label === FRAMEWORK ? meta.className : `${app_label}.${meta.className}`,
        app_label,
        model_name: meta.className,
        table_name: hasTable ? tableOf(entity) : '',
        auto_migrate: hasTable && scope !== 'unclassified',
        // A tenant's table cannot be asked without a tenant, on no way.
        allow_global_queries: scope === 'shared' || scope === 'both',
        scope,
      },
    ]
  })
  return rows.sort((a, b) => (a.model_name < b.model_name ? -1 : 1))
}

/** The module of each entity that the configuration names; whatever else there is, is the framework's. */
function modulesOf(options: TenancyOptions): ReadonlyMap<unknown, string> {
  const { shared, tenant, dual, both } = options.classification ?? {}
  const found = new Map<unknown, string>(halvesOf(options.entities).map(entity => [entity, APPLICATION]))
  for (const modules of [shared, tenant, dual, both]) {
    for (const [label, module] of Object.entries(modules ?? {})) {
      for (const entity of halvesOf(Object.values<unknown>(module))) found.set(entity, label)
    }
  }
  return found
}

/** The entities of the application and the framework. Where the configuration is refused, those that it names, and why it is refused. */
function allOf(output: Output, options: TenancyOptions): EntityLike[] {
  try {
    return classifyOptions(options).all.filter(isEntity)
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    output.say(`${output.paintError('yellow', 'warning')}: ${error.message}`)
    return [...modulesOf(options).keys()].filter(isEntity)
  }
}

function halvesOf(inputs: readonly unknown[]): readonly unknown[] {
  return inputs.flatMap(input => (isPair(input) ? [input.shared, input.tenant] : [input]))
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
