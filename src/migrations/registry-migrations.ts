/** The framework's own migrations. They come before the application's, in both sets. */
import type { Plane } from '../classification/scope.ts'
import type { MigrationClass } from './internals.ts'
import { Tenantkit0001TenantHistory, Tenantkit0002History } from './history-migrations.ts'
import { SharedMigration } from './migration.ts'
import { Tenantkit0003MigrationRuns } from './migration-runs-migration.ts'
import { Tenantkit0005TenantUsage } from './usage-migration.ts'
import { Tenantkit0006TenantOperations } from './tenant-operations-migration.ts'

/** What the control plane keeps of itself, by key: the prefix of names it was set up with. No entity stands for it. */
export const CONTROL_TABLE = 'tenantkit_control'

/** The sessions of the back office. No entity stands for it: a session is no row of the application's, and nobody's to list but the panel's. */
export const ADMIN_SESSION_TABLE = 'tenantkit_admin_session'

/** Creates the registry: tenants, their invitations and their settings. */
export class Tenantkit0001Registry extends SharedMigration {
  override up(): void {
    this.addSql(`create table "tenantkit_tenant" (
        "id" uuid not null,
        "slug" varchar(50) not null,
        "name" varchar(150) not null,
        "isolation_mode" varchar(20) not null,
        "provisioning_mode" varchar(20) not null default 'auto',
        "schema_name" varchar(63) null,
        "connection_alias" varchar(100) null,
        "connection_string" text null,
        "provisioning_connection_string" text null,
        "metadata" jsonb not null default '{}',
        "status" varchar(20) not null default 'pending',
        "status_reason" text null,
        "former_status" varchar(20) null,
        "schema_version" varchar(255) null,
        "schema_fingerprint" varchar(64) null,
        "cluster" varchar(63) null,
        "created_resources" jsonb not null default '[]',
        "version" int not null default 1,
        "created_at" timestamptz(3) not null,
        "created_by" varchar(255) not null,
        "updated_at" timestamptz(3) not null,
        "updated_by" varchar(255) not null,
        "deleted_at" timestamptz(3) null,
        "deleted_by" varchar(255) null,
        constraint "tenantkit_tenant_pkey" primary key ("id"))`)
    this.addSql(`create index "tenantkit_tenant_isolation_mode_index" on "tenantkit_tenant" ("isolation_mode")`)
    this.addSql(`create index "tenantkit_tenant_status_index" on "tenantkit_tenant" ("status")`)
    this.addSql(`create unique index "tenantkit_tenant_slug_unique" on "tenantkit_tenant" ("slug") where status <> 'purged'`)
    this.addSql(`create unique index "tenantkit_tenant_schema_name_unique" on "tenantkit_tenant" ("schema_name") where status <> 'purged'`)
    this.addSql(
      `create unique index "tenantkit_tenant_connection_alias_unique" on "tenantkit_tenant" ("connection_alias") where status <> 'purged'`,
    )
    this.addSql(`create table "tenantkit_tenant_invitation" (
        "id" uuid not null,
        "tenant_id" uuid not null,
        "email" varchar(254) not null,
        "token" uuid not null,
        "status" varchar(20) not null default 'pending',
        "expires_at" timestamptz(3) null,
        "accepted_at" timestamptz(3) null,
        "accepted_by" varchar(255) not null default '',
        "created_at" timestamptz(3) not null,
        "created_by" varchar(255) not null,
        "updated_at" timestamptz(3) not null,
        "updated_by" varchar(255) not null,
        "deleted_at" timestamptz(3) null,
        "deleted_by" varchar(255) null,
        constraint "tenantkit_tenant_invitation_pkey" primary key ("id"))`)
    this.addSql(`create index "tenantkit_invitation_status_index" on "tenantkit_tenant_invitation" ("status")`)
    this.addSql(`alter table "tenantkit_tenant_invitation" add constraint "tenantkit_invitation_token_unique" unique ("token")`)
    this.addSql(`create unique index "unique_tenant_invitation_email"
        on "tenantkit_tenant_invitation" ("tenant_id", "email") where status = 'pending' and deleted_at is null`)
    this.addSql(`create table "tenantkit_tenant_setting" (
        "id" uuid not null,
        "tenant_id" uuid not null,
        "key" varchar(120) not null,
        "value" jsonb not null default '{}',
        "created_at" timestamptz(3) not null,
        "created_by" varchar(255) not null,
        "updated_at" timestamptz(3) not null,
        "updated_by" varchar(255) not null,
        "deleted_at" timestamptz(3) null,
        "deleted_by" varchar(255) null,
        constraint "tenantkit_tenant_setting_pkey" primary key ("id"))`)
    this.addSql(
      `create unique index "unique_tenant_setting_key" on "tenantkit_tenant_setting" ("tenant_id", "key") where deleted_at is null`,
    )
    this.addSql(`alter table "tenantkit_tenant" add constraint "tenantkit_tenant_isolation_mode_check"
        check (isolation_mode in ('schema', 'database'))`)
    this.addSql(`alter table "tenantkit_tenant" add constraint "tenantkit_tenant_provisioning_mode_check"
        check (provisioning_mode in ('auto', 'manual'))`)
    this.addSql(`alter table "tenantkit_tenant" add constraint "tenantkit_tenant_schema_check"
        check (isolation_mode <> 'schema' or (schema_name is not null and connection_alias is null and connection_string is null and provisioning_connection_string is null))`)
    this.addSql(`alter table "tenantkit_tenant" add constraint "tenantkit_tenant_database_check"
        check (isolation_mode <> 'database' or (schema_name is null and connection_alias is not null and connection_string is not null))`)
    this.addSql(`alter table "tenantkit_tenant_invitation" add constraint "tenantkit_tenant_invitation_tenant_id_foreign"
        foreign key ("tenant_id") references "tenantkit_tenant" ("id") on delete cascade`)
    this.addSql(`alter table "tenantkit_tenant_setting" add constraint "tenantkit_tenant_setting_tenant_id_foreign"
        foreign key ("tenant_id") references "tenantkit_tenant" ("id") on delete cascade`)
    this.addSql(`create table "tenantkit_control" ("key" varchar(63) not null,
        "value" text not null,
        constraint "tenantkit_control_pkey" primary key ("key"))`)
  }
}

/** Creates the sessions of the back office. Only hashes of their tokens are kept. */
export class Tenantkit0004AdminSessions extends SharedMigration {
  override up(): void {
    this.addSql(`create table "${ADMIN_SESSION_TABLE}" (
        "id" uuid not null,
        "token_hash" varchar(64) not null,
        "plane" varchar(10) not null,
        "user_id" varchar(255) not null,
        "label" varchar(255) not null,
        "tenant_id" uuid null,
        "tenant_slug" varchar(50) null,
        "entered" jsonb not null default '{}',
        "address" varchar(64) not null,
        "user_agent" varchar(300) not null,
        "created_at" timestamptz(3) not null,
        "seen_at" timestamptz(3) not null,
        "expires_at" timestamptz(3) not null,
        constraint "tenantkit_admin_session_pkey" primary key ("id"))`)
    this.addSql(`create unique index "tenantkit_admin_session_token_unique" on "${ADMIN_SESSION_TABLE}" ("token_hash")`)
    this.addSql(`create index "tenantkit_admin_session_expires_index" on "${ADMIN_SESSION_TABLE}" ("expires_at")`)
  }
}

/** The bundled migrations by set, in their order. */
export const BUNDLED: Readonly<Record<Plane, readonly { readonly name: string; readonly migration: MigrationClass }[]>> = {
  shared: [
    { name: 'tenantkit_0001_registry', migration: Tenantkit0001Registry as unknown as MigrationClass },
    { name: 'tenantkit_0002_history', migration: Tenantkit0002History as unknown as MigrationClass },
    { name: 'tenantkit_0003_migration_runs', migration: Tenantkit0003MigrationRuns as unknown as MigrationClass },
    { name: 'tenantkit_0004_admin_sessions', migration: Tenantkit0004AdminSessions as unknown as MigrationClass },
    { name: 'tenantkit_0005_tenant_usage', migration: Tenantkit0005TenantUsage as unknown as MigrationClass },
    { name: 'tenantkit_0006_tenant_operations', migration: Tenantkit0006TenantOperations as unknown as MigrationClass },
  ],
  tenant: [{ name: 'tenantkit_0001_history', migration: Tenantkit0001TenantHistory as unknown as MigrationClass }],
}
