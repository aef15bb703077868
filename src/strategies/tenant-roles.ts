/**
 * The roles of strict mode. Each schema tenant has a role, without log-in, that may do everything in its own schema's tables and nothing in
 * another's. All of them are members of one group, which reads the shared tables that tenants may read. The pool's own role is a member of
 * each, so that it can take it for the length of a transaction.
 */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import { CONTROL_ONLY, SCOPE, hasTable, marksOf, planeOf } from '../classification/scope.ts'
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
import type { ConnectionInternals } from '../connections/internals.ts'
import { settingsOf, withDatabase } from '../connections/settings.ts'
import type { TenantRef } from '../context/context.ts'
import { ProvisioningFailedError } from '../errors.ts'
import {
  SHARED_SCHEMA,
  frameworkName,
  parseIdentifier,
  parseSlug,
  quoteForeignName,
  quoteIdentifier,
  quoteLiteral,
  tenantName,
  type Identifier,
} from '../naming.ts'
import { Tenant, type CreatedResource } from '../tenants/entities.ts'
import { ownershipMark, type DropOutcome } from './isolation-strategy.ts'
import type { RuntimeOrm } from './runtime-orm.ts'
import { queryShared } from './shared-catalog.ts'

/** What the group bears (`COMMENT ON ROLE`); one that does not is not ours. */
const READERS_MARK = 'mikro-tenantkit readers of shared tables'
const TABLE_RIGHTS = 'select, insert, update, delete, truncate'
/** Since PostgreSQL 16 a membership says whether it inherits rights and whether the role may be taken. */
const MEMBERSHIP_OPTIONS_SINCE = 160_000
const DUPLICATE_CODES: readonly unknown[] = ['42710', '23505']

export interface TenantRolesOptions {
  readonly orm: RuntimeOrm
  readonly prefix: string
  /** The owner of the schemas, in the control plane, without a pooler. */
  readonly directUrl: string
  /** With the right to create roles. */
  readonly provisioningUrl: string
}

/** What makes a tenant's role, by who may run it. */
export interface RoleScript {
  readonly role: Identifier
  /** For the provisioning URL. */
  readonly server: readonly string[]
  /** For the owner of the schema, which must exist. */
  readonly schema: readonly string[]
}

export class TenantRoles {
  readonly #options: TenantRolesOptions
  #readers: Promise<void> | undefined
  #server: Promise<{ readonly user: string; readonly version: number }> | undefined

  constructor(options: TenantRolesOptions) {
    this.#options = options
  }

  nameOf(tenant: TenantRef): Identifier {
    return tenantName(this.#options.prefix, parseSlug(tenant.slug))
  }

  /** The shared pool in the tenant's role. */
  connection(tenant: TenantRef): ConnectionInternals {
    return this.#options.orm.roleConnection(this.nameOf(tenant))
  }

  /** What creates a new tenant's role and its rights. A role that exists is an error: it is not ours. */
  async script(tenant: TenantRef): Promise<RoleScript> {
    this.#readers ??= this.updateReaders()
    try {
      await this.#readers
    } catch (error) {
      this.#readers = undefined
      throw error
    }
    const role = this.nameOf(tenant)
    const name = quoteIdentifier(role)
    const create = `create role ${name} nologin in role ${quoteIdentifier(readersRole(this.#options.prefix))}`
    const mark = `comment on role ${name} is ${quoteLiteral(ownershipMark(tenant.id))}`
    return { role, server: [create, mark, await this.#membership(role)], schema: rightsOn(parseIdentifier(tenant.schema), role) }
  }

  /**
   * Makes what an existing tenant lacks: its role, its memberships, its rights. One query where nothing is missing.
   *
   * @param again Grants the rights on all tables in any case: another role than before may have made some.
   * @throws PROVISIONING_FAILED if a role of that name exists and does not bear the tenant's mark.
   */
  async ensure(tenant: TenantRef, again: boolean, created: (resource: CreatedResource) => Promise<void>): Promise<void> {
    const role = this.nameOf(tenant)
    const state = await this.#stateOf(tenant, role)
    if (state !== undefined && state.mark !== ownershipMark(tenant.id))
      throw new ProvisioningFailedError('role', `the role "${role}" exists and does not bear the tenant's mark`)
    if (state?.complete === true && !again) return
    const { server, schema } = await this.script(tenant)
    const group = quoteIdentifier(readersRole(this.#options.prefix))
    const ours = state === undefined ? server : [`grant ${group} to ${quoteIdentifier(role)}`, ...server.slice(2)]
    if (state?.complete !== true) await withDirectClient(this.provisioningUrl(), client => queryShared(client, ours.join(';\n')))
    await withDirectClient(this.#options.directUrl, client => queryShared(client, schema.join(';\n')))
    if (state === undefined) await created({ kind: 'role', name: role })
  }

  /** The slugs of serving schema tenants whose own role is missing, or cannot be used. One query. */
  async missing(): Promise<readonly string[]> {
    const rows = (await this.#options.orm.control().execute(
      `select t.slug from public.${quoteIdentifier(parseIdentifier(Tenant.meta.tableName))} t
       where t.isolation_mode = 'schema' and t.status in ('ready', 'suspended') and not exists (
         select 1 from pg_catalog.pg_roles r where r.rolname = ? || pg_catalog.replace(t.slug, '-', '_')
           and pg_catalog.shobj_description(r.oid, 'pg_authid') = ? || t.id::text
           and pg_catalog.has_schema_privilege(r.oid, pg_catalog.to_regnamespace(pg_catalog.quote_ident(t.schema_name))::oid, 'USAGE')
           and pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
           and exists (select 1 from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid where m.member = r.oid and g.rolname = ?))
       order by t.slug`,
      [`${this.#options.prefix}_`, ownershipMark(''), readersRole(this.#options.prefix)],
    )) as { slug: string }[]
    return rows.map(({ slug }) => slug)
  }

  /** Brings the group's rights in line with the shared tables that exist and that tenants may read. */
  async updateReaders(): Promise<void> {
    const group = readersRole(this.#options.prefix)
    const { rows } = await withDirectClient(this.#options.directUrl, client => client.query<ReadersState>(READERS_QUERY, [group]))
    const mark = rows[0]?.mark ?? (await this.#createReaders(group))
    if (mark !== READERS_MARK) throw new ProvisioningFailedError('role', `the role "${group}" exists and is not this framework's`)
    await withDirectClient(this.#options.directUrl, async client => {
      const changes = await this.#readerChanges(client, group)
      if (changes.length > 0) await queryShared(client, changes.join(';\n'))
    })
  }

  /** Roles are made in the control plane's database too, so that one message can make a role and its rights. */
  provisioningUrl(): string {
    return withDatabase(this.#options.provisioningUrl, settingsOf(this.#options.directUrl).dbName)
  }

  /** Its mark, whoever made it. */
  async #createReaders(group: Identifier): Promise<string | null | undefined> {
    const name = quoteIdentifier(group)
    return withDirectClient(this.provisioningUrl(), async client => {
      await client
        .query(`create role ${name} nologin;\ncomment on role ${name} is ${quoteLiteral(READERS_MARK)}`)
        .catch((error: unknown) => {
          if (!DUPLICATE_CODES.includes((error as { code?: unknown }).code)) throw error
        })
      const { rows } = await client.query<ReadersState>(READERS_QUERY, [group])
      return rows[0]?.mark
    })
  }

  async #readerChanges(client: DirectClient, group: Identifier): Promise<string[]> {
    const wanted = new Set(readableTables(this.#options.orm.metadata().getAll().values()))
    const name = quoteIdentifier(group)
    const { rows } = await client.query<{ table: string; granted: boolean; usage: boolean }>(GRANTS_QUERY, [group, SHARED_SCHEMA])
    const changes = rows
      .filter(({ table, granted }) => wanted.has(table) !== granted)
      .map(({ table, granted }) => {
        const place = `${quoteIdentifier(SHARED_SCHEMA)}.${quoteForeignName(table)}`
        return granted ? `revoke select on ${place} from ${name}` : `grant select on ${place} to ${name}`
      })
    return rows[0]?.usage === false ? [`grant usage on schema ${quoteIdentifier(SHARED_SCHEMA)} to ${name}`, ...changes] : changes
  }

  async #stateOf(tenant: TenantRef, role: Identifier): Promise<{ readonly mark: string | null; readonly complete: boolean } | undefined> {
    const rows = await this.#options.orm.control().execute(STATE_QUERY, [tenant.schema, readersRole(this.#options.prefix), role])
    return (rows as { mark: string | null; complete: boolean }[])[0]
  }

  /** The pool's role may take the tenant's; it does not have its rights all the time. */
  async #membership(role: Identifier): Promise<string> {
    this.#server ??= this.#askServer()
    try {
      const { user, version } = await this.#server
      const options = version >= MEMBERSHIP_OPTIONS_SINCE ? ' with inherit false, set true' : ''
      return `grant ${quoteIdentifier(role)} to ${quoteForeignName(user)}${options}`
    } catch (error) {
      this.#server = undefined
      throw error
    }
  }

  /** Asked where requests go: a pooler may log in as somebody else than the URL says. */
  async #askServer(): Promise<{ readonly user: string; readonly version: number }> {
    const rows = (await this.#options.orm
      .control()
      .execute(`select session_user::text as "user", pg_catalog.current_setting('server_version_num')::int as version`)) as {
      user: string
      version: number
    }[]
    return rows[0]!
  }
}

interface ReadersState {
  readonly mark: string | null
}

const READERS_QUERY = `select (select coalesce(pg_catalog.shobj_description(oid, 'pg_authid'), '') from pg_catalog.pg_roles where rolname = $1) as mark`

const GRANTS_QUERY = `select c.relname as table, pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') as usage,
    exists (select 1 from pg_catalog.aclexplode(c.relacl) a where a.grantee = r.oid and a.privilege_type = 'SELECT') as granted
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_roles r on r.rolname = $1
  where n.nspname = $2 and c.relkind in ('r', 'p', 'v', 'm')`

const STATE_QUERY = `select pg_catalog.shobj_description(r.oid, 'pg_authid') as mark,
    coalesce((select pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') from pg_catalog.pg_namespace n where n.nspname = ?), false)
      and pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
      and exists (select 1 from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid where m.member = r.oid and g.rolname = ?) as complete
  from pg_catalog.pg_roles r where r.rolname = ?`

/** The group of all tenants' roles. */
export function readersRole(prefix: string): Identifier {
  return frameworkName(prefix, 'readers')
}

/**
 * Drops a tenant's role if it bears its mark.
 *
 * @param takeRights Takes back what the role may do in its schema; called if the schema stays, for a role with rights cannot be dropped.
 */
export async function dropOwnRole(
  client: DirectClient,
  name: string,
  tenantId: string,
  takeRights: (role: Identifier) => Promise<void>,
): Promise<DropOutcome> {
  const role = parseIdentifier(name)
  const { rows } = await client.query<{ mark: string | null }>(
    `select pg_catalog.shobj_description(oid, 'pg_authid') as mark from pg_catalog.pg_roles where rolname = $1`,
    [role],
  )
  if (rows[0] === undefined) return 'absent'
  if (rows[0].mark !== ownershipMark(tenantId)) return 'unmarked'
  const drop = () => queryShared(client, `drop role ${quoteIdentifier(role)}`)
  await drop().catch(async (error: unknown) => {
    // 2BP01 dependent_objects_still_exist: https://www.postgresql.org/docs/current/errcodes-appendix.html
    if ((error as { code?: unknown }).code !== '2BP01') throw error
    await takeRights(role)
    await drop()
  })
  return 'dropped'
}

/** What takes back {@link rightsOn}. */
export function withoutRightsOn(schemaName: Identifier, roleName: Identifier): string[] {
  const schema = quoteIdentifier(schemaName)
  const role = quoteIdentifier(roleName)
  return [
    `alter default privileges in schema ${schema} revoke all on tables from ${role}`,
    `alter default privileges in schema ${schema} revoke all on sequences from ${role}`,
    `revoke all on all tables in schema ${schema} from ${role}`,
    `revoke all on all sequences in schema ${schema} from ${role}`,
    `revoke all on schema ${schema} from ${role}`,
  ]
}

/** All rights on the tables of a schema, those of later migrations included, and none to create there. */
function rightsOn(schemaName: Identifier, roleName: Identifier): string[] {
  const schema = quoteIdentifier(schemaName)
  const role = quoteIdentifier(roleName)
  return [
    `grant usage on schema ${schema} to ${role}`,
    `grant ${TABLE_RIGHTS} on all tables in schema ${schema} to ${role}`,
    `grant usage, select on all sequences in schema ${schema} to ${role}`,
    `alter default privileges in schema ${schema} grant ${TABLE_RIGHTS} on tables to ${role}`,
    `alter default privileges in schema ${schema} grant usage, select on sequences to ${role}`,
  ]
}

/** The shared tables that tenants read; pivot tables among them are read if both ends are. */
function* readableTables(metas: Iterable<EntityMetadata>): Generator<string> {
  for (const meta of metas) if (hasTable(meta) && planeOf(meta) === 'shared' && isReadable(meta)) yield meta.tableName
}

function isReadable(meta: EntityMetadata): boolean {
  const marks = marksOf(meta.root ?? meta)
  if (marks[SCOPE] === 'both' || marks[CONTROL_ONLY] === true) return false
  return !meta.pivotTable || meta.relations.every(({ targetMeta }) => targetMeta === undefined || isReadable(targetMeta))
}
