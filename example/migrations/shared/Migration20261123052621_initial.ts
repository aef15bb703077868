import { SharedMigration } from 'mikro-tenantkit'

export class Migration20261123052621_initial extends SharedMigration {
  override up(): void {
    this.addSql(`create table "announcement" ("id" uuid not null, "title" varchar(200) not null, "body" text not null, "allowed_tenants" uuid[] not null default '{}', "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "announcement_pkey" primary key ("id"))`)

    this.addSql(`create table "currency" ("id" uuid not null, "code" varchar(3) not null, "name" varchar(100) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "currency_pkey" primary key ("id"))`)
    this.addSql(`create unique index "currency_code_unique" on "currency" ("code") where "deleted_at" is null`)

    this.addSql(`create table "plan" ("id" uuid not null, "code" varchar(40) not null, "name" varchar(200) not null, "price_per_month" numeric(12,2) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "plan_pkey" primary key ("id"))`)
    this.addSql(`create unique index "plan_code_unique" on "plan" ("code") where "deleted_at" is null`)

    this.addSql(`create table "users" ("id" uuid not null, "email" varchar(254) not null, "name" varchar(200) not null, "role" varchar(20) not null, "password_hash" varchar(500) not null, "created_at" timestamptz(3) not null, "created_by" varchar(255) not null, "updated_at" timestamptz(3) not null, "updated_by" varchar(255) not null, "deleted_at" timestamptz(3) null, "deleted_by" varchar(255) null, constraint "users_pkey" primary key ("id"))`)
    this.addSql(`create unique index "users_email_unique" on "users" ("email") where "deleted_at" is null`)
  }

  override down(): void {
    this.addSql(`drop table if exists "announcement" cascade`)
    this.addSql(`drop table if exists "currency" cascade`)
    this.addSql(`drop table if exists "plan" cascade`)
    this.addSql(`drop table if exists "users" cascade`)
  }
}
