import { TenantMigration } from 'mikro-tenantkit'

export class Migration20261125222530_unique_among_live_rows extends TenantMigration {
  override up(): void {
    this.addSql(`alter table "invoice" drop constraint "invoice_number_unique"`)
    this.addSql(`create unique index "invoice_number_unique" on "invoice" ("number") where "deleted_at" is null`)
  }

  override down(): void {
    this.addSql(`drop index "invoice_number_unique"`)
    this.addSql(`alter table "invoice" add constraint "invoice_number_unique" unique ("number")`)
  }
}
