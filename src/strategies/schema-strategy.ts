/** Tenants by schema: a schema in the control-plane database, and the control plane's own pool. */
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
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

export class SchemaStrategy implements IsolationStrategy {
  readonly #orm: RuntimeOrm
  readonly #directUrl: string

  constructor(orm: RuntimeOrm, directUrl: string) {
    this.#orm = orm
    this.#directUrl = directUrl
  }

  connect(tenant: TenantRecord): Promise<TenantLease> {
    const { em, driver } = this.#orm.tenantManager(tenant.ref, this.#orm.controlConnection())
    return Promise.resolve({
      em,
      end: () => {
        driver.end()
      },
    })
  }

  /** One message, which PostgreSQL runs as one transaction: the schema, its mark, the tables and the rows of the tracking table. */
  async create(tenant: NewTenant, script: TenantScript, created: (resource: CreatedResource) => Promise<void>): Promise<void> {
    const schema = parseIdentifier(tenant.record.ref.schema, 'schema_name')
    await withDirectClient(this.#directUrl, client => client.query(schemaScript(schema, tenant.record.ref.id, script)))
    await created({ kind: 'schema', name: schema })
  }

  async drop(tenant: TenantRecord, resources: readonly CreatedResource[]): Promise<DropReport> {
    return withDirectClient(this.#directUrl, client => dropAll(resources, ({ name }) => dropOwnSchema(client, name, tenant.ref.id)))
  }

  migrationPlace(tenant: TenantRecord): MigrationPlace {
    return { schema: parseIdentifier(tenant.ref.schema), url: this.#directUrl }
  }
}

/** The message that makes a schema and fills it. A schema that exists already is an error: it is not ours. */
export function schemaScript(schema: Identifier, tenantId: string, script: TenantScript): string {
  return [
    `create schema ${quoteIdentifier(schema)}`,
    `comment on schema ${quoteIdentifier(schema)} is ${quoteLiteral(ownershipMark(tenantId))}`,
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
