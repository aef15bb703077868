/** What a deployment would do: which statements, on how many tenants. Nothing is executed. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { quoteLiteral } from '../naming.ts'
import { isDestructive } from '../migrations/destructive.ts'
import type { CollectedMigration } from '../migrations/migration-set.ts'
import type { Migrations } from '../migrations/migrations.ts'
import { TENANT_TABLE } from '../provisioning/migrating-mark.ts'
import { SERVING } from '../tenants/entities.ts'
import { isBehindSql, type Heads } from './behind.ts'

/** A migration that would run. */
export interface PlannedMigration {
  readonly name: string
  /** Its SQL in a schema tenant (or the control plane), or null if it is code. */
  readonly statements: readonly string[] | null
  /** Its SQL in a database tenant, where that differs. */
  readonly database_statements?: readonly string[]
  readonly transactional: boolean
  /** Whether tenants are used meanwhile. */
  readonly online: boolean
  /** Whether data would be lost, as far as its SQL tells. */
  readonly destructive: boolean
}

/** Tenants that stand at the same place. */
export interface PlannedGroup {
  readonly version: string | null
  readonly isolation: 'schema' | 'database'
  readonly tenants: number
  /** What they lack, by what the registry knows; null where only their own tables can tell. */
  readonly pending: readonly string[] | null
}

/** What `migrate --plan` prints. */
export interface MigrationPlan {
  readonly shared: readonly PlannedMigration[]
  readonly tenant: readonly PlannedMigration[]
  readonly groups: readonly PlannedGroup[]
  /** Tenants that would be migrated. */
  readonly behind: number
  /** Statements that would be sent in all, to pure-SQL migrations' tenants. */
  readonly statements: number
}

/** Which tenants are looked at; all that serve without it. */
export interface PlanOptions {
  readonly scope?: 'shared' | 'tenant' | 'all' | undefined
  readonly tenants?: readonly string[] | undefined
}

export async function planOf(
  { migrations, control, heads }: { migrations: Migrations; control: () => EntityManager; heads: Heads },
  shared: readonly string[] | undefined,
  { scope = 'all', tenants }: PlanOptions,
): Promise<MigrationPlan> {
  const all = await migrations.collected('shared')
  const sharedPending = scope === 'tenant' ? [] : all.filter(({ name }) => shared?.includes(name) !== true)
  const [bySchema, byDatabase] = [await migrations.collected('tenant', 'schema'), await migrations.collected('tenant', 'database')]
  const names = bySchema.map(({ name }) => name)
  const groups = scope === 'shared' || shared === undefined ? [] : (await groupsOf(control(), heads, tenants)).map(row => group(row, names))
  const wanted = new Set(groups.flatMap(({ pending }) => pending ?? names))
  const count = (list: readonly CollectedMigration[], pending: readonly string[]) =>
    list.filter(({ name }) => pending.includes(name)).reduce((sum, { shown }) => sum + (shown?.length ?? 0), 0)
  const statements = groups.reduce(
    (sum, { isolation, tenants: many, pending }) => sum + many * count(isolation === 'schema' ? bySchema : byDatabase, pending ?? []),
    count(
      sharedPending,
      sharedPending.map(({ name }) => name),
    ),
  )
  return {
    shared: sharedPending.map(migration => planned(migration)),
    tenant: bySchema.flatMap((migration, index) => (wanted.has(migration.name) ? [planned(migration, byDatabase[index])] : [])),
    groups,
    behind: groups.reduce((sum, each) => sum + each.tenants, 0),
    statements,
  }
}

interface GroupRow {
  readonly version: string | null
  readonly isolation: 'schema' | 'database'
  readonly tenants: number
}

/** One query. */
async function groupsOf(em: EntityManager, heads: Heads, only: readonly string[] | undefined): Promise<readonly GroupRow[]> {
  const named = only === undefined ? '' : `and t.slug in (${only.map(quoteLiteral).join(', ')})`
  return em.execute(
    `select t.schema_version as version, t.isolation_mode as isolation, count(*)::int as tenants from ${TENANT_TABLE} t
     where t.${SERVING} and ${isBehindSql(heads)} ${named} group by 1, 2 order by 1 nulls first, 2`,
  )
}

function group({ version, isolation, tenants }: GroupRow, names: readonly string[]): PlannedGroup {
  const at = version === null ? -1 : names.indexOf(version)
  // At the head and behind all the same: a migration before it is missing.
  const pending = version === null ? names : at === -1 || at === names.length - 1 ? null : names.slice(at + 1)
  return { version, isolation, tenants, pending }
}

function planned(migration: CollectedMigration, byDatabase?: CollectedMigration): PlannedMigration {
  const { name, shown, transactional, online, destructive } = migration
  const differs = byDatabase?.shown !== undefined && JSON.stringify(byDatabase.shown) !== JSON.stringify(shown)
  return {
    name,
    statements: shown ?? null,
    ...(differs ? { database_statements: byDatabase.shown } : {}),
    transactional,
    online,
    destructive: destructive || shown?.some(isDestructive) === true,
  }
}
