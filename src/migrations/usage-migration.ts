/** The framework's migration for what tenants take, and for the figures of the back office. */
import { EVENT_TABLE } from '../history/audit-event.ts'
import { SharedMigration } from './migration.ts'

/** Creates the rows of usage, and the indexes that figures of the whole fleet are read by. */
export class Tenantkit0005TenantUsage extends SharedMigration {
  override up(): void {
    this.addSql(`create table "tenantkit_tenant_usage" (
        "id" uuid not null,
        "tenant_id" uuid not null,
        "day" date not null,
        "storage_bytes" bigint not null,
        "table_count" int not null,
        "row_estimate" bigint not null,
        "created_at" timestamptz(3) not null,
        "created_by" varchar(255) not null,
        "updated_at" timestamptz(3) not null,
        "updated_by" varchar(255) not null,
        "deleted_at" timestamptz(3) null,
        "deleted_by" varchar(255) null,
        constraint "tenantkit_tenant_usage_pkey" primary key ("id"))`)
    this.addSql(`create index "tenantkit_tenant_usage_day_index" on "tenantkit_tenant_usage" ("day", "storage_bytes")`)
    this.addSql(`alter table "tenantkit_tenant_usage" add constraint "tenantkit_tenant_usage_day_unique" unique ("tenant_id", "day")`)
    this.addSql(`alter table "tenantkit_tenant_usage" add constraint "tenantkit_tenant_usage_tenant_id_foreign"
        foreign key ("tenant_id") references "tenantkit_tenant" ("id") on delete cascade`)
    this.addSql(`create index "tenantkit_tenant_created_index" on "tenantkit_tenant" ("created_at")`)
    // The few that failed among any number of events: the index knows no others.
    this.addSql(`create index "${EVENT_TABLE}_failed_index" on "${EVENT_TABLE}" ("id") where "details" ->> 'outcome' = 'failed'`)
  }
}
