/** The template that databases of tenants are copied from, and the rights on the server around them. */
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
import { withDatabase } from '../connections/settings.ts'
import { TENANT_SCHEMA, frameworkName, quoteForeignName, quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import type { TenantScript } from './isolation-strategy.ts'
import { queryShared } from './shared-catalog.ts'

/** Any number, the same in every process: it names the lock under which a template is made. */
const TEMPLATE_LOCK = 7_236_115_004
/** What a template of ours bears (`COMMENT ON …`); what does not is never dropped. */
export const TEMPLATE_MARK = 'mikro-tenantkit template'

/**
 * The role that every tenant's own role is a member of. It holds the rights on the tables in a template; a member can use them only where it
 * may connect, which is its own database. So a new database needs no connection of its own for grants.
 */
export function groupRole(prefix: string): Identifier {
  return frameworkName(prefix, 'members')
}

export interface TemplateOptions {
  readonly prefix: string
  readonly script: TenantScript
  readonly provisioningUrl: string
}

/** The name of the template that holds a script. */
export function templateName(prefix: string, script: Pick<TenantScript, 'fingerprint'>): Identifier {
  return frameworkName(prefix, `template_${script.fingerprint.slice(0, 12)}`)
}

/** The name of a template that holds the script, made if it is missing. Templates of older scripts are dropped. */
export async function ensureTemplate(client: DirectClient, options: TemplateOptions): Promise<string> {
  const name = templateName(options.prefix, options.script)
  const ready = async () => {
    const { rows } = await client.query('select 1 from pg_catalog.pg_database where datname = $1 and datistemplate and not datallowconn', [
      name,
    ])
    return rows.length > 0
  }
  if (await ready()) return name
  await client.query('select pg_catalog.pg_advisory_lock($1)', [TEMPLATE_LOCK])
  try {
    if (!(await ready())) await makeTemplate(client, name, options)
  } finally {
    await client.query('select pg_catalog.pg_advisory_unlock($1)', [TEMPLATE_LOCK])
  }
  return name
}

/**
 * Takes CONNECT from PUBLIC where it would let a tenant's role into a database that is not its own. What we may not change is left to `doctor`.
 *
 * @param users The log-in roles of the control plane: they keep their way into its database, which may be another's.
 */
export async function lockDownServer(client: DirectClient, controlDatabase: string, users: readonly (string | undefined)[]): Promise<void> {
  const { rows } = await client.query<{ datname: string }>(
    `select datname from pg_catalog.pg_database d
     where datname = any($1) and (datacl is null or exists (select 1 from pg_catalog.aclexplode(datacl) a where a.grantee = 0 and a.privilege_type = 'CONNECT'))
       and pg_catalog.pg_has_role(datdba, 'USAGE')`,
    [[controlDatabase, 'postgres', 'template1']],
  )
  if (rows.length === 0) return
  const { rows: roles } = await client.query<{ rolname: string }>('select rolname from pg_catalog.pg_roles where rolname = any($1)', [
    users,
  ])
  for (const { datname } of rows) {
    const database = quoteForeignName(datname)
    const keepers = datname === controlDatabase ? roles.map(({ rolname }) => quoteForeignName(rolname)) : []
    const grants = keepers.map(role => `grant connect on database ${database} to ${role}`)
    await queryShared(client, [...grants, `revoke connect on database ${database} from public`].join(';\n'))
  }
}

async function makeTemplate(client: DirectClient, name: Identifier, options: TemplateOptions): Promise<void> {
  const group = quoteIdentifier(groupRole(options.prefix))
  const schema = quoteIdentifier(TENANT_SCHEMA)
  const database = quoteIdentifier(name)
  const { rows } = await client.query('select 1 from pg_catalog.pg_roles where rolname = $1', [groupRole(options.prefix)])
  if (rows.length === 0) await client.query(`create role ${group} nologin`)
  await dropTemplates(client, options.prefix)
  await client.query(`create database ${database} template template0`)
  await client.query(`comment on database ${database} is ${quoteLiteral(TEMPLATE_MARK)};\nrevoke all on database ${database} from public`)
  await withDirectClient(withDatabase(options.provisioningUrl, name), inside =>
    inside.query(
      [
        'revoke all on schema public from public',
        `create schema ${schema}`,
        `comment on schema ${schema} is ${quoteLiteral(TEMPLATE_MARK)}`,
        `grant usage on schema ${schema} to ${group}`,
        `alter default privileges in schema ${schema} grant select, insert, update, delete on tables to ${group}`,
        `alter default privileges in schema ${schema} grant usage, select on sequences to ${group}`,
        `set local search_path to ${schema}`,
        ...options.script.statements,
      ].join(';\n'),
    ),
  )
  await client.query(`alter database ${database} with is_template true allow_connections false`)
}

/** Templates of older scripts, and halves of one that was interrupted, if they bear our mark. The lock is held. */
async function dropTemplates(client: DirectClient, prefix: string): Promise<void> {
  const { rows } = await client.query<{ datname: string; datistemplate: boolean }>(
    `select datname, datistemplate from pg_catalog.pg_database where pg_catalog.starts_with(datname, $1) and pg_catalog.pg_has_role(datdba, 'USAGE')
       and pg_catalog.shobj_description(oid, 'pg_database') = $2`,
    [frameworkName(prefix, 'template_'), TEMPLATE_MARK],
  )
  for (const { datname, datistemplate } of rows) {
    if (datistemplate) await client.query(`alter database ${quoteForeignName(datname)} with is_template false`)
    await client.query(`drop database ${quoteForeignName(datname)} with (force)`)
  }
}
