/** The framework's migration that makes the record of operations on tenants. */
import { SharedMigration } from './migration.ts'

/** Creates the record of what is done to tenants, with its steps. */
export class Tenantkit0006TenantOperations extends SharedMigration {
  override up(): void {
    this.addSql(`create table "tenantkit_tenant_operation" (
        "id" uuid not null,
        "tenant_id" uuid not null,
        "slug" varchar(50) not null,
        "name" varchar(40) not null,
        "status" varchar(20) not null,
        "actor" varchar(255) not null,
        "steps" jsonb not null default '[]',
        "result" jsonb not null default '{}',
        "error" jsonb null,
        "started_at" timestamptz(3) not null,
        "finished_at" timestamptz(3) null,
        constraint "tenantkit_tenant_operation_pkey" primary key ("id"))`)
    this.addSql(`create index "tenantkit_tenant_operation_tenant_index" on "tenantkit_tenant_operation" ("tenant_id", "id")`)
  }
}
