/** Checks of the server: versions, settings, rights. */
import { createRequire } from 'node:module'
import { settingsOf } from '../connections/settings.ts'
import { frameworkName, quoteForeignName } from '../naming.ts'
import { TEMPLATE_MARK, templateName } from '../strategies/database-template.ts'
import { REGISTRY, rowsOf, type DoctorContext } from './doctor-context.ts'
import { fine, some, warning, wrong, type Observation } from './finding.ts'

/** The version of MikroORM that the overridden members were tested with. */
export const MIKRO_ORM_VERSION = '7.2.1'
const MIKRO_ORM_PACKAGES = ['core', 'sql', 'postgresql', 'migrations', 'cli']
const NODE_FROM = [22, 17] as const
const POSTGRES = { from: 15, to: 18 } as const
/** What a process opens beside its pools: the listener, a tenant's lock, the work under it. */
const BESIDE_POOLS = 3
/** Dropping a relation locks it, what depends on it and what it depends on: 159 locks for 60 relations were measured. */
const LOCKS_PER_RELATION = 3
/** Tenants that are migrated, made or dropped at once. */
const AT_ONCE = 4

export async function versions(context: DoctorContext): Promise<Observation[]> {
  const [row] = await rowsOf<{ version: number }>(context, `select pg_catalog.current_setting('server_version_num')::int as version`)
  const postgres = Math.floor(row!.version / 10_000)
  return [postgresVersion(postgres), nodeVersion(process.versions.node), mikroOrmVersions()]
}

export function postgresVersion(major: number): Observation {
  if (major < POSTGRES.from) return wrong(`PostgreSQL ${major} is too old`, `Use PostgreSQL ${POSTGRES.from} to ${POSTGRES.to}.`)
  if (major > POSTGRES.to) return warning(`PostgreSQL ${major} was not tested`, `Tested: ${POSTGRES.from} to ${POSTGRES.to}.`)
  return fine(`PostgreSQL ${major}`)
}

export function nodeVersion(version: string): Observation {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isOld = major < NODE_FROM[0] || (major === NODE_FROM[0] && minor < NODE_FROM[1])
  return isOld ? wrong(`Node ${version} is too old`, `Use Node ${NODE_FROM.join('.')} or newer.`) : fine(`Node ${version}`)
}

/** Members that are private in its typings are overridden: another version may have others. */
export function mikroOrmVersions(versionOf: (name: string) => string | undefined = installedVersion): Observation {
  const found = MIKRO_ORM_PACKAGES.map(name => ({ name: `@mikro-orm/${name}`, version: versionOf(`@mikro-orm/${name}`) }))
  const others = found.filter(({ version }) => version !== MIKRO_ORM_VERSION)
  if (others.length === 0) return fine(`MikroORM ${MIKRO_ORM_VERSION}, all packages alike`)
  return wrong(
    `not MikroORM ${MIKRO_ORM_VERSION}: ${others.map(({ name, version }) => `${name} ${version ?? 'missing'}`).join(', ')}`,
    `Pin every @mikro-orm package to ${MIKRO_ORM_VERSION}.`,
  )
}

function installedVersion(name: string): string | undefined {
  try {
    return (createRequire(import.meta.url)(`${name}/package.json`) as { version?: string }).version
  } catch {
    return undefined
  }
}

/** Which of the two ways makes the search_path empty. A connection where it is not is refused when it is opened. */
export async function searchPath(context: DoctorContext): Promise<Observation[]> {
  const [row] = await rowsOf<{ source: string; role: string }>(
    context,
    `select (select s.source from pg_catalog.pg_settings s where s.name = 'search_path') as source, session_user::text as role`,
  )
  const { source, role } = row!
  if (source === 'client') return [fine('empty by the start-up parameter of each connection')]
  return [fine(`empty by the setting of the role "${role}" (${source}); it must stay`)]
}

interface ConnectionRow {
  readonly max: number
  readonly reserved: number
  readonly used: number
  readonly role: string
  readonly role_limit: number
  readonly database_limit: number
}

/** What one process may open against what the server gives. */
export async function connections(context: DoctorContext): Promise<Observation[]> {
  const [row] = await rowsOf<ConnectionRow>(
    context,
    `select pg_catalog.current_setting('max_connections')::int as max,
       pg_catalog.current_setting('superuser_reserved_connections')::int + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int as reserved,
       (select count(*)::int from pg_catalog.pg_stat_activity a where a.backend_type = 'client backend') as used, session_user::text as role,
       (select r.rolconnlimit from pg_catalog.pg_roles r where r.rolname = session_user) as role_limit,
       (select d.datconnlimit from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) as database_limit`,
  )
  const { max, reserved, used, role, role_limit, database_limit } = row!
  const { pool, pooled } = context.options
  const available = max - reserved
  const needed = (pooled ? 0 : pool.perServer) + BESIDE_POOLS
  const observations: Observation[] = []
  const limits = [
    [role_limit, `the role "${role}"`],
    [database_limit, 'the database of the control plane'],
  ] as const
  const shared = (pooled ? 0 : pool.shared) + BESIDE_POOLS
  for (const [limit, who] of limits) {
    if (limit >= 0 && limit < shared)
      observations.push(
        wrong(`${who} may have ${limit} connections, and one process uses up to ${shared} there`, 'Raise the limit, or lower pool.shared.'),
      )
  }
  if (shared > available)
    observations.push(
      wrong(
        `the server gives ${available} connections, and one process uses up to ${shared} for the control plane alone`,
        'Raise max_connections, or lower pool.shared.',
      ),
    )
  else if (needed > available)
    observations.push(
      warning(
        `the server gives ${available} connections, and one process may open ${needed}`,
        'Lower pool.perServer, or raise max_connections.',
      ),
    )
  if (observations.length > 0) return observations
  const processes = Math.floor(available / needed)
  return [
    fine(
      `${used} of ${available} in use; one process opens at most ${needed}${pooled ? ' past the pooler' : ''}, so ${processes} at full load fit`,
    ),
  ]
}

/** Whether tenants can be made and dropped: each of their relations takes locks from a table that all sessions share. */
export async function locks(context: DoctorContext): Promise<Observation[]> {
  const [row] = await rowsOf<{ slug: string | null; relations: number; per_transaction: number; capacity: number }>(
    context,
    `select t.slug, coalesce(r.relations, 0)::int as relations, s.per_transaction, s.per_transaction * s.sessions as capacity
     from (select pg_catalog.current_setting('max_locks_per_transaction')::int as per_transaction,
         pg_catalog.current_setting('max_connections')::int + pg_catalog.current_setting('max_prepared_transactions')::int as sessions) s
       left join lateral (select slug, schema_name from ${REGISTRY} where isolation_mode = 'schema' and status in ('ready', 'suspended') order by slug limit 1) t on true
       left join lateral (
         select sum(1 + (select count(*) from pg_catalog.pg_index i where i.indrelid = c.oid) + case when c.reltoastrelid <> 0 then 2 else 0 end) as relations
         from pg_catalog.pg_namespace n join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and d.refobjid = n.oid
           and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass join pg_catalog.pg_class c on c.oid = d.objid
         where n.nspname = t.schema_name::pg_catalog.name) r on true`,
  )
  const { slug, relations, per_transaction, capacity } = row!
  if (slug === null) return [fine(`max_locks_per_transaction is ${per_transaction}; there is no schema tenant to count`)]
  const needed = relations * LOCKS_PER_RELATION
  const said = `a tenant (${slug}) has ${relations} relations and takes up to ${needed} locks; the server has room for ${capacity}`
  const hint = `Raise max_locks_per_transaction (now ${per_transaction}); it needs a restart.`
  if (needed > capacity) return [wrong(said, hint)]
  if (needed * AT_ONCE > capacity) return [warning(`${said}, too few for ${AT_ONCE} tenants at once`, hint)]
  return [fine(said)]
}

/** Where roles of tenants could log in beside their own databases. Asked only if there are such roles. */
export async function connectRights(context: DoctorContext): Promise<Observation[]> {
  const { prefix, directUrl } = context.options
  const rows = await rowsOf<{ name: string; roles: number }>(
    context,
    `select d.datname::text as name, r.roles from pg_catalog.pg_database d,
       (select count(*)::int as roles from ${REGISTRY} where isolation_mode = 'database' and status <> 'purged') r
     where (d.datname in (?, 'postgres', 'template1') or pg_catalog.starts_with(d.datname::text, ?)) and d.datallowconn and r.roles > 0
       and exists (select 1 from pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a where a.grantee = 0 and a.privilege_type = 'CONNECT')
     order by 1`,
    [settingsOf(directUrl).dbName, frameworkName(prefix, 'template_')],
  )
  if (rows.length === 0) return [fine("tenants' roles may connect to their own databases alone")]
  const names = rows.map(({ name }) => name)
  return [
    warning(
      `PUBLIC may connect to ${some(names)}, and so may the roles of tenants`,
      `As its owner: ${names.map(name => `revoke connect on database ${quoteForeignName(name)} from public`).join('; ')}`,
    ),
  ]
}

/** The template that database tenants are copied from: one at most, whole, and ours. */
export async function templates(context: DoctorContext): Promise<Observation[]> {
  const { prefix } = context.options
  const rows = await rowsOf<{ name: string; whole: boolean; mark: string | null }>(
    context,
    `select datname::text as name, datistemplate and not datallowconn as whole, pg_catalog.shobj_description(oid, 'pg_database') as mark
     from pg_catalog.pg_database where pg_catalog.starts_with(datname::text, ?) order by 1`,
    [frameworkName(prefix, 'template_')],
  )
  const current = templateName(prefix, await context.migrations.preparedScript('database'))
  const foreign = rows.filter(({ mark }) => mark !== TEMPLATE_MARK).map(({ name }) => name)
  const half = rows.filter(({ whole, mark }) => mark === TEMPLATE_MARK && !whole).map(({ name }) => name)
  const old = rows.filter(({ name, whole, mark }) => mark === TEMPLATE_MARK && whole && name !== current).map(({ name }) => name)
  const observations = [
    ...(foreign.length === 0 ? [] : [wrong(`named like templates and not this framework's: ${some(foreign)}`, 'Rename or drop them.')]),
    ...(half.length === 0 ? [] : [warning(`half made: ${some(half)}`, 'The next tenant by database replaces them.')]),
    ...(old.length === 0 ? [] : [warning(`of older migrations: ${some(old)}`, 'The next tenant by database replaces them.')]),
  ]
  if (observations.length > 0) return observations
  return [fine(rows.length === 0 ? 'none yet; the first tenant by database makes one' : `${current} holds the current migrations`)]
}
