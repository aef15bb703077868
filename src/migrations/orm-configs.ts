/**
 * What `mikro-orm.config.ts` exports for the stock command line: `npx mikro-orm migration:create|up|down|pending|list|check --context …`
 * with `default` (the shared tables), `tenant` (all schema tenants) and `db:<slug>` (one tenant).
 */
import { counted } from '../errors.ts'
import { parseSlug } from '../naming.ts'
import { MigrationRunFailedError, SchemaNotFoundError, reasonOf } from './errors.ts'
import type { MigrateOptions, MigrationRow } from './internals.ts'
import { MigrationSet } from './migration-set.ts'
import { Migrations, type MigrationSettings } from './migrations.ts'
import type { Fleet } from './migrator.ts'
import { ormOptions } from './orm.ts'
import type { MigrationTarget, Selection } from './runner.ts'

/** Where the command line finds the tenants. */
export interface OrmConfigOptions {
  /** All tenants that are migrated when none is named; those with a database of their own are left to `db:<slug>`. */
  listTenants(): Promise<readonly MigrationTarget[]>
  /** One tenant. @throws TENANT_NOT_FOUND */
  tenantTarget(slug: string): Promise<MigrationTarget>
  /** Where the lines about single tenants go. Default: standard output. */
  readonly write?: (line: string) => void
}

/** How many tenants the command line migrates at once. */
const CONCURRENCY = 4

/**
 * The configurations for the default export of `mikro-orm.config.ts`.
 *
 * @example
 * export default ormConfigs(settings, { listTenants, tenantTarget })
 */
export function ormConfigs(settings: MigrationSettings, options: OrmConfigOptions): unknown[] {
  const shared = new MigrationSet('shared', settings.path)
  const tenant = new MigrationSet('tenant', settings.path)
  const control = new Migrations(settings).sharedTarget()
  return [
    { ...ormOptions(settings, shared, settings.directUrl, oneTarget(settings, control)), contextName: 'default' },
    { ...ormOptions(settings, tenant, settings.directUrl, allTargets(settings, options)), contextName: 'tenant' },
    async (contextName: string): Promise<unknown> => {
      if (!contextName.startsWith('db:')) return undefined
      const target = await options.tenantTarget(parseSlug(contextName.slice('db:'.length)))
      return { ...ormOptions(settings, tenant, target.url, oneTarget(settings, target)), contextName }
    },
  ]
}

/** The commands on one target. */
function oneTarget(settings: MigrationSettings, target: MigrationTarget): Fleet {
  const on = <T>(work: (migrations: Migrations) => Promise<T>): Promise<T> => withMigrations(settings, work)
  return {
    up: options => on(migrations => migrations.up(target, selection(options))),
    down: options => on(migrations => migrations.down(target, selection(options))),
    pending: () => on(migrations => migrations.pending(target)),
    executed: () => on(migrations => migrations.executed(target)),
    mark: (name, applied) => on(migrations => migrations.mark(target, name, applied)),
  }
}

/** The commands on all schema tenants of the registry, or on those named by `--schema`. */
function allTargets(settings: MigrationSettings, options: OrmConfigOptions): Fleet {
  const write = options.write ?? ((line: string): void => void process.stdout.write(`${line}\n`))
  const each = async <T>(
    schema: string | undefined,
    work: (migrations: Migrations, target: MigrationTarget) => Promise<T>,
    say: (result: T) => string,
  ): Promise<T[]> => {
    const targets = chosen(await options.listTenants(), schema)
    return withMigrations(settings, async migrations => {
      const results: T[] = []
      const failed: { target: string; reason: string }[] = []
      await inParallel(targets, async target => {
        try {
          const result = await work(migrations, target)
          results.push(result)
          write(`${target.key}: ${say(result)}`)
        } catch (error) {
          failed.push({ target: target.key, reason: reasonOf(error) })
          write(`${target.key}: FAILED ${reasonOf(error)}`)
        }
      })
      write(`${counted(targets.length, 'tenant')}, ${failed.length} failed`)
      if (failed.length > 0) throw new MigrationRunFailedError(failed, targets.length)
      return results
    })
  }
  return {
    up: async given =>
      distinct(await each(given.schema, (migrations, target) => migrations.up(target, selection(given)), list('up to date'))),
    down: async given =>
      distinct(await each(given.schema, (migrations, target) => migrations.down(target, selection(given)), list('nothing to revert'))),
    pending: async () => distinct(await each(undefined, (migrations, target) => migrations.pending(target), list('up to date'))),
    executed: async () =>
      newest(
        await each(
          undefined,
          (migrations, target) => migrations.executed(target),
          rows => `${rows.length} applied`,
        ),
      ),
    mark: async (name, applied) =>
      void (await each(
        undefined,
        (migrations, target) => migrations.mark(target, name, applied),
        () => (applied ? 'recorded' : 'forgotten'),
      )),
  }
}

/** @throws NOT_FOUND before anything is done, if one of the names is not a schema of the registry. */
function chosen(tenants: readonly MigrationTarget[], schema: string | undefined): readonly MigrationTarget[] {
  const bySchema = new Map(tenants.filter(({ isolation }) => isolation === 'schema').map(target => [target.schema as string, target]))
  if (schema === undefined || schema === '*') return [...bySchema.values()]
  return [...new Set(schema.split(/[, ]+/).filter(Boolean))].map(name => {
    const target = bySchema.get(name)
    if (target === undefined) throw new SchemaNotFoundError(name, 'the registry')
    return target
  })
}

async function withMigrations<T>(settings: MigrationSettings, work: (migrations: Migrations) => Promise<T>): Promise<T> {
  const migrations = new Migrations(settings)
  try {
    return await work(migrations)
  } finally {
    await migrations.close()
  }
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, items.length) }, worker))
}

function selection({ from, to, migrations }: MigrateOptions): Selection {
  return {
    ...(migrations === undefined ? {} : { only: migrations }),
    ...(from === undefined ? {} : { from: String(from) }),
    ...(to === undefined ? {} : { to: String(to) }),
  }
}

function list(empty: string): (names: readonly string[]) => string {
  return names => (names.length === 0 ? empty : names.join(', '))
}

function distinct(lists: readonly (readonly string[])[]): readonly string[] {
  return [...new Set(lists.flat())]
}

/** One row for each name, with the time at which the last tenant applied it. */
function newest(lists: readonly (readonly MigrationRow[])[]): readonly MigrationRow[] {
  const rows = new Map<string, MigrationRow>()
  for (const row of lists.flat()) {
    const known = rows.get(row.name)
    if (known === undefined || known.executed_at < row.executed_at) rows.set(row.name, row)
  }
  return [...rows.values()]
}
