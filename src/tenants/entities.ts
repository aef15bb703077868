/** The registry: tenants, invitations and settings. They are shared entities, audited and softly deleted like an application's own. */
import { randomUUID } from 'node:crypto'
import { p } from '@mikro-orm/postgresql'
import { sharedEntity } from '../classification/entities.ts'
import { CONTROL_ONLY, marksOf } from '../classification/scope.ts'
import { newId } from '../ids.ts'
import { MigrationRun, MigrationRunTenant } from './migration-runs.ts'
import { TenantOperation } from './tenant-operations.ts'

/** Where a tenant stands in its life; see {@link TRANSITIONS} for what is possible. */
export const TENANT_STATUSES = ['pending', 'provisioning', 'ready', 'suspended', 'failed', 'archived', 'purging', 'purged'] as const
/** One of {@link TENANT_STATUSES}. */
export type TenantStatus = (typeof TENANT_STATUSES)[number]

export const ISOLATIONS = ['schema', 'database'] as const
export const PROVISIONING_MODES = ['auto', 'manual'] as const
export type ProvisioningMode = (typeof PROVISIONING_MODES)[number]

/** A resource in PostgreSQL that this framework created for a tenant: the only ones it ever drops. */
export interface CreatedResource {
  readonly kind: 'schema' | 'database' | 'role'
  readonly name: string
}

/** 128 random bits are the hash of some token, and nobody knows of which. */
const hashOfNothing = (): string => randomUUID()

const UNPURGED = "status <> 'purged'"
/** Those that are migrated. */
export const SERVING = "status in ('ready', 'suspended')"

/**
 * A tenant of the registry.
 *
 * The checks hold the matrix of isolation and provisioning mode in the database as well, so that no path can store a contradiction.
 */
export const Tenant = sharedEntity({
  name: 'Tenant',
  tableName: 'tenantkit_tenant',
  history: true,
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    slug: p.string().length(50),
    name: p.string().length(150),
    isolationMode: p.string().$type<(typeof ISOLATIONS)[number]>().length(20).index('tenantkit_tenant_isolation_mode_index'),
    provisioningMode: p.string().$type<ProvisioningMode>().length(20).default('auto'),
    schemaName: p.string().length(63).nullable(),
    connectionAlias: p.string().length(100).nullable(),
    /** Sealed. */
    connectionString: p.text().nullable().hidden(),
    /** Sealed. */
    provisioningConnectionString: p.text().nullable().hidden(),
    metadata: p.json<Record<string, unknown>>().default('{}'),
    status: p.string().$type<TenantStatus>().length(20).default('pending').index('tenantkit_tenant_status_index'),
    statusReason: p.text().nullable(),
    /** The status that `restore` returns to. */
    formerStatus: p.string().$type<TenantStatus>().length(20).nullable(),
    schemaVersion: p.string().length(255).nullable(),
    schemaFingerprint: p.string().length(64).nullable(),
    /** While it is in the future, the tenant is being migrated and does not serve; a run that goes on moves it on. */
    migratingUntil: p.datetime(3).nullable(),
    cluster: p.string().length(63).nullable(),
    createdResources: p.json<readonly CreatedResource[]>().default('[]'),
    /** Counts every change, so that two operators cannot overwrite each other. */
    version: p.integer().version(),
  },
  indexes: [
    { name: 'tenantkit_tenant_created_index', properties: ['createdAt'] },
    {
      name: 'tenantkit_tenant_schema_index',
      properties: ['isolationMode', 'schemaVersion', 'schemaFingerprint'],
      where: SERVING,
    },
  ],
  uniques: [
    { name: 'tenantkit_tenant_slug_unique', properties: ['slug'], where: UNPURGED },
    { name: 'tenantkit_tenant_schema_name_unique', properties: ['schemaName'], where: UNPURGED },
    { name: 'tenantkit_tenant_connection_alias_unique', properties: ['connectionAlias'], where: UNPURGED },
  ],
  checks: [
    { name: 'tenantkit_tenant_isolation_mode_check', expression: "isolation_mode in ('schema', 'database')" },
    { name: 'tenantkit_tenant_provisioning_mode_check', expression: "provisioning_mode in ('auto', 'manual')" },
    {
      name: 'tenantkit_tenant_schema_check',
      expression:
        "isolation_mode <> 'schema' or (schema_name is not null and connection_alias is null and connection_string is null and provisioning_connection_string is null)",
    },
    {
      name: 'tenantkit_tenant_database_check',
      expression:
        "isolation_mode <> 'database' or (schema_name is null and connection_alias is not null and connection_string is not null)",
    },
  ],
})

/** An invitation of a person into a tenant. Its workflow comes with the control plane's later form. */
export const TenantInvitation = sharedEntity({
  name: 'TenantInvitation',
  tableName: 'tenantkit_tenant_invitation',
  history: true,
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    tenant: () => p.manyToOne(Tenant).deleteRule('cascade'),
    email: p.string().length(254),
    /**
     * The hash of the token, as a UUID: who reads the table has no token. An invitation that no workflow has sent has that of a token which
     * nobody knows.
     */
    token: p
      .uuid()
      .hidden()
      .onCreate(() => hashOfNothing()),
    status: p
      .string()
      .$type<'pending' | 'accepted' | 'revoked' | 'expired'>()
      .length(20)
      .default('pending')
      .index('tenantkit_invitation_status_index'),
    expiresAt: p.datetime(3).nullable(),
    acceptedAt: p.datetime(3).nullable(),
    /** A string: the person may live in another database. */
    acceptedBy: p.string().length(255).default(''),
  },
  uniques: [
    { name: 'tenantkit_invitation_token_unique', properties: ['token'], live: false },
    { name: 'unique_tenant_invitation_email', properties: ['tenant', 'email'], where: "status = 'pending' and deleted_at is null" },
  ],
})

/** A setting of a tenant: a key and a JSON value. */
export const TenantSetting = sharedEntity({
  name: 'TenantSetting',
  tableName: 'tenantkit_tenant_setting',
  history: true,
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    tenant: () => p.manyToOne(Tenant).deleteRule('cascade'),
    key: p.string().length(120),
    value: p.json<unknown>().default('{}'),
  },
  uniques: [{ name: 'unique_tenant_setting_key', properties: ['tenant', 'key'], where: 'deleted_at is null' }],
})

/** What a tenant took on one day, by UTC: one row, which the last measurement of the day has written. */
export const TenantUsage = sharedEntity({
  name: 'TenantUsage',
  tableName: 'tenantkit_tenant_usage',
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    tenant: () => p.manyToOne(Tenant).deleteRule('cascade'),
    /** `2026-01-31`. */
    day: p.date(),
    /** Of its tables with their indexes and long values, or of its whole database. */
    storageBytes: p.bigint('number'),
    /** The framework's own included. */
    tableCount: p.integer(),
    /** By PostgreSQL's statistics: nothing is counted. */
    rowEstimate: p.bigint('number'),
  },
  indexes: [{ name: 'tenantkit_tenant_usage_day_index', properties: ['day', 'storageBytes'] }],
  uniques: [{ name: 'tenantkit_tenant_usage_day_unique', properties: ['tenant', 'day'], live: false }],
})

/** The framework's own entities, created by its own migrations. */
export const REGISTRY_ENTITIES = [
  Tenant,
  TenantInvitation,
  TenantSetting,
  TenantUsage,
  MigrationRun,
  MigrationRunTenant,
  TenantOperation,
] as const

// No tenant reads of the others, whose secrets and settings stand here.
for (const entity of REGISTRY_ENTITIES) marksOf(entity.meta)[CONTROL_ONLY] = true
