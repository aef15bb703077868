/** Tenants by schema: a schema in the control-plane database, and the control plane's own pool; in strict mode with a role each. */
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
import { settingsOf, withDatabase } from '../connections/settings.ts'
import { SchemaProvisioningUnsupportedError } from '../errors.ts'
import { parseIdentifier, quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import type { TenantRecord } from '../tenants/directory.ts'
import type { CreatedResource } from '../tenants/entities.ts'
import {
  dropAll,
  ownershipMark,
  type DropOutcome,
  type DropReport,
  type IsolationStrategy,
  type MigrationPlace,
  type NewTenant,
  type TenantLease,
  type TenantScript,
} from './isolation-strategy.ts'
import type { RuntimeOrm } from './runtime-orm.ts'
import { queryShared } from './shared-catalog.ts'
import { dropOwnRole, withoutRightsOn, type RoleScript, type TenantRoles } from './tenant-roles.ts'

export interface SchemaStrategyOptions {
  readonly orm: RuntimeOrm
  readonly directUrl: string
  /** With the right to create and drop roles. */
  readonly provisioningUrl: string
  /** In strict mode. */
  readonly roles: TenantRoles | undefined
}

export class SchemaStrategy implements IsolationStrategy {
  readonly #options: SchemaStrategyOptions

  constructor(options: SchemaStrategyOptions) {
    this.#options = options
  }

  connect(tenant: TenantRecord): Promise<TenantLease> {
    const { orm, roles } = this.#options
    const { em, driver } = orm.tenantManager(tenant.ref, roles === undefined ? orm.controlConnection() : roles.connection(tenant.ref))
    return Promise.resolve({
      em,
      end: () => {
        driver.end()
      },
    })
  }

  /** One message, which PostgreSQL runs as one transaction: the schema, its mark, the tables and the rows of the tracking table. */
  async create(tenant: NewTenant, script: TenantScript, created: (resource: CreatedResource) => Promise<void>): Promise<void> {
    const { directUrl, provisioningUrl, roles } = this.#options
    const { ref } = tenant.record
    const schema = parseIdentifier(ref.schema, 'schema_name')
    const role = await roles?.script(ref)
    const apart = role !== undefined && provisioningUrl !== directUrl
    if (apart) {
      await withDirectClient(roles!.provisioningUrl(), client => queryShared(client, role.server.join(';\n')))
      await created({ kind: 'role', name: role.role })
    }
    const before = role === undefined || apart ? [] : role.server
    const message = [...before, schemaScript(schema, ref.id, script, role)].join(';\n')
    await withDirectClient(directUrl, client => queryShared(client, message)).catch((error: unknown) => {
      throw refusedSchema(error)
    })
    if (role !== undefined && !apart) await created({ kind: 'role', name: role.role })
    await created({ kind: 'schema', name: schema })
  }

  /** @throws PROVISIONING_FAILED */
  async repair(tenant: TenantRecord, migrated: boolean, created: (resource: CreatedResource) => Promise<void>): Promise<void> {
    await this.#options.roles?.ensure(tenant.ref, migrated, created)
  }

  async drop(tenant: TenantRecord, resources: readonly CreatedResource[]): Promise<DropReport> {
    const { directUrl, provisioningUrl } = this.#options
    const roleUrl = withDatabase(provisioningUrl, settingsOf(directUrl).dbName)
    const takeRights = (role: Identifier) =>
      withDirectClient(directUrl, client => queryShared(client, withoutRightsOn(parseIdentifier(tenant.ref.schema), role).join(';\n')))
    return dropAll(resources, ({ kind, name }) =>
      kind === 'role'
        ? withDirectClient(roleUrl, client => dropOwnRole(client, name, tenant.ref.id, takeRights))
        : withDirectClient(directUrl, client => dropOwnSchema(client, name, tenant.ref.id)),
    )
  }

  migrationPlace(tenant: TenantRecord): MigrationPlace {
    return { schema: parseIdentifier(tenant.ref.schema), url: this.#options.directUrl }
  }
}

/** PostgreSQL says `permission denied for database …` to a role that may not create schemas there. */
function refusedSchema(error: unknown): unknown {
  const { code, message } = error as { code?: string; message?: string }
  return code === '42501' && message?.startsWith('permission denied for database') ? new SchemaProvisioningUnsupportedError(error) : error
}

/** The message that makes a schema and fills it. A schema that exists already is an error: it is not ours. */
export function schemaScript(schema: Identifier, tenantId: string, script: TenantScript, role?: RoleScript): string {
  return [
    `create schema ${quoteIdentifier(schema)}`,
    `comment on schema ${quoteIdentifier(schema)} is ${quoteLiteral(ownershipMark(tenantId))}`,
    ...(role?.schema ?? []),
    `set local search_path to ${quoteIdentifier(schema)}`,
    ...script.statements,
  ].join(';\n')
}

/** Drops a schema if it bears the tenant's mark. */
export async function dropOwnSchema(client: DirectClient, name: string, tenantId: string): Promise<DropOutcome> {
  const schema = parseIdentifier(name, 'schema_name')
  const { rows } = await client.query<{ mark: string | null }>(
    `select pg_catalog.obj_description(oid, 'pg_namespace') as mark from pg_catalog.pg_namespace where nspname = $1`,
    [schema],
  )
  if (rows[0] === undefined) return 'absent'
  if (rows[0].mark !== ownershipMark(tenantId)) return 'unmarked'
  await client.query(`drop schema ${quoteIdentifier(schema)} cascade`)
  return 'dropped'
}
