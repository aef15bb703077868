/** Schemas, databases and roles that bear this framework's mark and have no tenant, and tenants whose own are gone. */
import { isSameServer } from '../connections/settings.ts'
import { REFERENCE_MARK, REFERENCE_PREFIX } from '../migrations/reference.ts'
import { quoteForeignName } from '../naming.ts'
import { ownershipMark } from '../strategies/isolation-strategy.ts'
import { REGISTRY, rowsOf, type DoctorContext } from './doctor-context.ts'
import { SHOWN, fine, some, warning, wrong, type Observation } from './finding.ts'

interface Orphan {
  readonly kind: 'schema' | 'database' | 'role'
  readonly name: string
  readonly total: number
}

const DROP = { schema: 'drop schema % cascade', database: 'drop database % with (force)', role: 'drop role %' } as const

/** The tenant that a mark names is not in the registry, or purged. */
const NOBODYS = `pg_catalog.starts_with(m.description, ?)
  and not exists (select 1 from ${REGISTRY} t where t.status <> 'purged' and t.id::text = pg_catalog.substr(m.description, pg_catalog.length(?) + 1))`

/**
 * Of the schemas in the control plane's database all are looked at; of databases and roles those whose names begin with the prefix: a server
 * may hold several control planes.
 */
export async function orphans(context: DoctorContext): Promise<Observation[]> {
  const mark = ownershipMark('')
  const found = await rowsOf<Orphan>(
    context,
    `select 'schema' as kind, n.nspname::text as name, (count(*) over ())::int as total
     from pg_catalog.pg_description m join pg_catalog.pg_namespace n on n.oid = m.objoid
     where m.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and ${NOBODYS} order by name limit ${SHOWN}`,
    [mark, mark],
  )
  const server = isOneServer(context)
  for (const [kind, catalog, oids, column] of [
    ['database', 'pg_database', 'pg_database', 'datname'],
    ['role', 'pg_roles', 'pg_authid', 'rolname'],
  ] as const) {
    if (!server) continue
    const rows = await rowsOf<Orphan>(
      context,
      `select '${kind}' as kind, o.${column}::text as name, (count(*) over ())::int as total
       from pg_catalog.pg_shdescription m join pg_catalog.${catalog} o on o.oid = m.objoid
       where m.classoid = 'pg_catalog.${oids}'::pg_catalog.regclass and ${NOBODYS} and pg_catalog.starts_with(o.${column}::text, ?)
       order by name limit ${SHOWN}`,
      [mark, mark, `${context.options.prefix}_`],
    )
    found.push(...rows)
  }
  if (found.length === 0)
    return [fine(server ? 'every schema, database and role has its tenant' : 'every schema has its tenant; another server holds databases')]
  return (['schema', 'database', 'role'] as const).flatMap(kind => {
    const [first, ...others] = found.filter(each => each.kind === kind)
    if (first === undefined) return []
    const names = [first, ...others].map(({ name }) => name)
    const hint = `Nothing refers to it. If its data is not wanted: ${DROP[kind].replace('%', quoteForeignName(first.name))}`
    return [warning(`${kind} without a tenant: ${some(names, first.total)}`, hint)]
  })
}

/** What a killed `drift` left. */
export async function references(context: DoctorContext): Promise<Observation[]> {
  const rows = await rowsOf<{ name: string }>(
    context,
    `select nspname::text as name from pg_catalog.pg_namespace
     where pg_catalog.starts_with(nspname::text, ?) and pg_catalog.obj_description(oid, 'pg_namespace') = ? order by 1`,
    [REFERENCE_PREFIX, REFERENCE_MARK],
  )
  if (rows.length === 0) return [fine('none is left')]
  const names = rows.map(({ name }) => name)
  return [warning(`schemas that a comparison left: ${some(names)}`, `If none runs now: drop schema ${quoteForeignName(names[0]!)} cascade`)]
}

interface Missing {
  readonly slug: string
  readonly kind: Orphan['kind']
  readonly name: string
  readonly state: 'missing' | 'foreign'
  readonly total: number
}

/** What serving and archived tenants should have. Manual databases may stand on any server, and are not looked at. */
export async function missingResources(context: DoctorContext): Promise<Observation[]> {
  const rows = await rowsOf<Missing>(
    context,
    `with wanted as (
       select t.slug, t.id, 'schema' as kind, t.schema_name as name from ${REGISTRY} t
         where t.isolation_mode = 'schema' and t.status in ('ready', 'suspended', 'archived')
       union select t.slug, t.id, r.value->>'kind', r.value->>'name' from ${REGISTRY} t, pg_catalog.jsonb_array_elements(t.created_resources) r
         where t.status in ('ready', 'suspended', 'archived') and t.provisioning_connection_string is null and r.value->>'kind' in ('database', 'role') and ?
     ), state as (
       select w.slug, w.kind, w.name, case w.kind
           when 'schema' then (select coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), '') from pg_catalog.pg_namespace n where n.nspname = w.name::pg_catalog.name)
           when 'database' then (select coalesce(pg_catalog.shobj_description(d.oid, 'pg_database'), '') from pg_catalog.pg_database d where d.datname = w.name::pg_catalog.name)
           else (select coalesce(pg_catalog.shobj_description(r.oid, 'pg_authid'), '') from pg_catalog.pg_roles r where r.rolname = w.name::pg_catalog.name) end as mark,
         ? || w.id::text as own
       from wanted w
     )
     select slug, kind, name, case when mark is null then 'missing' else 'foreign' end as state, (count(*) over (partition by mark is null))::int as total
     from state where mark is distinct from own order by slug, kind limit ${10 * SHOWN}`,
    [isOneServer(context), ownershipMark('')],
  )
  if (rows.length === 0) return [fine('every tenant has what is on record')]
  const of = (state: Missing['state']) => rows.filter(row => row.state === state)
  const told = (list: readonly Missing[]) =>
    some(
      list.map(({ slug, kind, name }) => `${slug} (${kind} ${name})`),
      list[0]!.total,
    )
  const [missing, foreign] = [of('missing'), of('foreign')]
  return [
    ...(missing.length === 0
      ? []
      : [wrong(`on record and not there: ${told(missing)}`, 'Restore it from a backup, or delete and purge the tenant.')]),
    ...(foreign.length === 0
      ? []
      : [
          wrong(
            `there and not marked as the tenant's own: ${told(foreign)}`,
            "What bears another mark is never dropped. If it is the tenant's, set its comment to: mikro-tenantkit tenant <id>",
          ),
        ]),
  ]
}

/** Whether databases and roles are made on the control plane's own server. */
function isOneServer({ options }: DoctorContext): boolean {
  return isSameServer(options.directUrl, options.provisioningUrl)
}
