/** A tenant as clients see it: JSON with snake_case keys, and never a secret. */
import type { TenantRow } from './directory.ts'

/** The public form of a tenant; dates are ISO 8601 in UTC. */
export interface TenantJson {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly isolation_mode: 'schema' | 'database'
  readonly provisioning_mode: 'auto' | 'manual'
  readonly schema_name: string | null
  readonly connection_alias: string | null
  /** Always null. */
  readonly connection_string: null
  readonly has_connection_string: boolean
  /** Always null. */
  readonly provisioning_connection_string: null
  readonly has_provisioning_connection_string: boolean
  readonly metadata: Readonly<Record<string, unknown>>
  readonly status: string
  readonly status_reason: string | null
  readonly is_active: boolean
  readonly deleted: boolean
  readonly schema_version: string | null
  readonly created_at: string
  readonly created_by: string
  readonly updated_at: string
  readonly updated_by: string
  readonly deleted_at: string | null
  readonly deleted_by: string | null
}

/** The public form of a row. */
export function toTenantJson(row: TenantRow): TenantJson {
  return {
    id: row.id,
    slug: row.slug,
    name: row.name,
    isolation_mode: row.isolationMode,
    provisioning_mode: row.provisioningMode,
    schema_name: row.schemaName ?? null,
    connection_alias: row.connectionAlias ?? null,
    connection_string: null,
    has_connection_string: row.connectionString != null,
    provisioning_connection_string: null,
    has_provisioning_connection_string: row.provisioningConnectionString != null,
    metadata: row.metadata,
    status: row.status,
    status_reason: row.statusReason ?? null,
    is_active: row.status === 'ready',
    deleted: row.deletedAt != null,
    schema_version: row.schemaVersion ?? null,
    created_at: row.createdAt.toISOString(),
    created_by: row.createdBy,
    updated_at: row.updatedAt.toISOString(),
    updated_by: row.updatedBy,
    deleted_at: row.deletedAt?.toISOString() ?? null,
    deleted_by: row.deletedBy ?? null,
  }
}
