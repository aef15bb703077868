import { TenantMigration } from 'mikro-tenantkit'

export class Migration20261123052621_initial extends TenantMigration {
  override up(): void {
    this.addSql(`create table "customer" ("id" uuid not null, "name" varchar(200) not null, "email" varchar(254) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "customer_pkey" primary key ("id"))`)

    this.addSql(`create table "invoice" ("id" uuid not null, "number" varchar(40) not null, "status" varchar(20) not null, "currency" varchar(3) not null, "customer_id" uuid not null, "total" numeric(12,2) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "invoice_pkey" primary key ("id"))`)
    this.addSql(`alter table "invoice" add constraint "invoice_number_unique" unique ("number")`)
    this.addSql(`create index "invoice_customer_id_index" on "invoice" ("customer_id")`)

    this.addSql(`create table "product" ("id" uuid not null, "name" varchar(200) not null, "sku" varchar(60) not null, "price" numeric(12,2) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "product_pkey" primary key ("id"))`)
    this.addSql(`create unique index "product_sku_unique" on "product" ("sku") where "deleted_at" is null`)

    this.addSql(`create table "invoice_line" ("id" uuid not null, "invoice_id" uuid not null, "product_id" uuid not null, "position" int not null, "quantity" int not null, "unit_price" numeric(12,2) not null, "total" numeric(12,2) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "invoice_line_pkey" primary key ("id"))`)
    this.addSql(`create index "invoice_line_invoice_id_index" on "invoice_line" ("invoice_id")`)
    this.addSql(`create index "invoice_line_product_id_index" on "invoice_line" ("product_id")`)

    this.addSql(`create table "tag" ("id" uuid not null, "name" varchar(60) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "tag_pkey" primary key ("id"))`)
    this.addSql(`create unique index "tag_name_unique" on "tag" ("name") where "deleted_at" is null`)

    this.addSql(`create table "product_tags" ("product_id" uuid not null, "tag_id" uuid not null, constraint "product_tags_pkey" primary key ("product_id", "tag_id"))`)

    this.addSql(`create table "users" ("id" uuid not null, "email" varchar(254) not null, "name" varchar(200) not null, "role" varchar(20) not null, "password_hash" varchar(500) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "users_pkey" primary key ("id"))`)
    this.addSql(`create unique index "users_email_unique" on "users" ("email") where "deleted_at" is null`)

    this.addSql(`alter table "invoice" add constraint "invoice_customer_id_foreign" foreign key ("customer_id") references "customer" ("id")`)

    this.addSql(`alter table "invoice_line" add constraint "invoice_line_invoice_id_foreign" foreign key ("invoice_id") references "invoice" ("id")`)
    this.addSql(`alter table "invoice_line" add constraint "invoice_line_product_id_foreign" foreign key ("product_id") references "product" ("id")`)

    this.addSql(`alter table "product_tags" add constraint "product_tags_product_id_foreign" foreign key ("product_id") references "product" ("id") on update cascade on delete cascade`)
    this.addSql(`alter table "product_tags" add constraint "product_tags_tag_id_foreign" foreign key ("tag_id") references "tag" ("id") on update cascade on delete cascade`)
  }

  override down(): void {
    this.addSql(`alter table "invoice" drop constraint if exists "invoice_customer_id_foreign"`)
    this.addSql(`alter table "invoice_line" drop constraint if exists "invoice_line_invoice_id_foreign"`)
    this.addSql(`alter table "invoice_line" drop constraint if exists "invoice_line_product_id_foreign"`)
    this.addSql(`alter table "product_tags" drop constraint if exists "product_tags_product_id_foreign"`)
    this.addSql(`alter table "product_tags" drop constraint if exists "product_tags_tag_id_foreign"`)

    this.addSql(`drop table if exists "customer" cascade`)
    this.addSql(`drop table if exists "invoice" cascade`)
    this.addSql(`drop table if exists "product" cascade`)
    this.addSql(`drop table if exists "invoice_line" cascade`)
    this.addSql(`drop table if exists "tag" cascade`)
    this.addSql(`drop table if exists "product_tags" cascade`)
    this.addSql(`drop table if exists "users" cascade`)
  }
}
