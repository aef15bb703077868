/** The framework's second migration of the control plane. */
import { SharedMigration } from './migration.ts'

/** Creates the record of migration runs, and what tells that a tenant is behind, or is being migrated. */
export class Tenantkit0003MigrationRuns extends SharedMigration {
  override up(): void {
    this.addSql(`alter table "tenantkit_tenant" add column "migrating_until" timestamptz(3) null`)
    // Whether any tenant is behind is asked with each deployment, over any number of them.
    this.addSql(`create index "tenantkit_tenant_schema_index"
        on "tenantkit_tenant" ("isolation_mode", "schema_version", "schema_fingerprint") where status in ('ready', 'suspended')`)
    this.addSql(`create table "tenantkit_migration_run" (
        "id" uuid not null,
        "status" varchar(20) not null,
        "actor" varchar(255) not null,
        "to_version" varchar(255) null,
        "plan" jsonb not null,
        "reason" text null,
        "started_at" timestamptz(3) not null,
        "finished_at" timestamptz(3) null,
        constraint "tenantkit_migration_run_pkey" primary key ("id"))`)
    this.addSql(`create table "tenantkit_migration_run_tenant" (
        "run_id" uuid not null,
        "tenant_id" uuid not null,
        "slug" varchar(50) not null,
        "wave" int not null,
        "status" varchar(20) not null,
        "attempt" int not null default 0,
        "error" text null,
        "from_version" varchar(255) null,
        "to_version" varchar(255) null,
        "names" jsonb not null default '[]',
        "started_at" timestamptz(3) null,
        "finished_at" timestamptz(3) null,
        constraint "tenantkit_migration_run_tenant_pkey" primary key ("run_id", "tenant_id"))`)
    this.addSql(`create index "tenantkit_migration_run_tenant_status_index"
        on "tenantkit_migration_run_tenant" ("run_id", "status", "wave", "slug")`)
    this.addSql(`create index "tenantkit_migration_run_tenant_tenant_index" on "tenantkit_migration_run_tenant" ("tenant_id")`)
  }
}
