import { TenantMigration } from 'mikro-tenantkit'

export class Migration20261126002527_lines_go_with_their_invoice extends TenantMigration {
  override up(): void {
    this.addSql(`alter table "invoice_line" add "deleted_with" varchar(255) null`)
  }

  override down(): void {
    this.addSql(`alter table "invoice_line" drop column "deleted_with"`)
  }
}
