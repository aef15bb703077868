/** What was, or could have been, made for a tenant. */
import { open } from '../crypto/seal.ts'
import type { KeyRing } from '../crypto/key-ring.ts'
import { settingsOf } from '../connections/settings.ts'
import { TENANT_SCHEMA, parseSlug, tenantName } from '../naming.ts'
import { CONNECTION_PURPOSE } from '../strategies/database-strategy.ts'
import { recordOf, type TenantRow } from '../tenants/directory.ts'
import type { CreatedResource } from '../tenants/entities.ts'

/**
 * What to look at when a tenant's resources are dropped: those on record, and those whose names are ours to choose, for a process may end
 * before it records what it made. Dropping looks at the marks. Of manual tenants the unrecorded count only after such an end: their
 * connection may lead nowhere.
 */
export function resourcesToDrop(row: TenantRow, keyRing: KeyRing, prefix: string): readonly CreatedResource[] {
  const abandoned = row.status === 'provisioning' || row.formerStatus === 'provisioning'
  const possible = row.provisioningMode === 'auto' || abandoned ? possibleResources(row, keyRing, prefix) : []
  const recorded = row.createdResources.filter(resource => !includes(possible, resource))
  // In reverse of their creation: the database before the role that may use it.
  return [...possible, ...recorded].reverse()
}

export function includes(resources: readonly CreatedResource[], { kind, name }: CreatedResource): boolean {
  return resources.some(resource => resource.kind === kind && resource.name === name)
}

function possibleResources(row: TenantRow, keyRing: KeyRing, prefix: string): CreatedResource[] {
  const record = recordOf(row)
  if (record.ref.isolation === 'schema') {
    // The role of strict mode, which may have been switched off since.
    const role: CreatedResource = { kind: 'role', name: tenantName(prefix, parseSlug(row.slug)) }
    return [role, { kind: 'schema', name: record.ref.schema }]
  }
  const { user, dbName } = settingsOf(open(keyRing, record.connectionString!, { tenantId: row.id, purpose: CONNECTION_PURPOSE }))
  const database: CreatedResource = { kind: 'database', name: dbName }
  if (record.provisioning === 'auto') return [{ kind: 'role', name: user! }, database]
  const schema: CreatedResource = { kind: 'schema', name: TENANT_SCHEMA }
  return record.provisioningConnectionString === undefined ? [schema] : [database, schema]
}
