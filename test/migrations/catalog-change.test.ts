/** Statements that only define what stands in one schema. */
import { assert } from 'chai'
import { isCatalogChange } from '../../src/migrations/catalog-change.ts'

describe('statements that change the catalog of one schema', () => {
  const changes = [
    'alter table "invoice" add column "note" text null',
    'ALTER TABLE invoice ADD COLUMN total numeric(10, 2) NOT NULL',
    'create index "invoice_note" on "invoice" ("note") where "note" is not null',
    'create unique index invoice_note on invoice (note)',
    'create table "line" ("id" uuid not null, "select" int, constraint "line_pkey" primary key ("id"))',
    `comment on table "invoice" is 'a; b. select'`,
    'drop index if exists "invoice_note"',
    'alter table "line" add constraint "line_invoice" foreign key ("invoice_id") references "invoice" ("id")',
  ]
  const others = [
    'update "invoice" set "note" = null',
    'insert into "invoice" ("id") values (1)',
    'select pg_sleep(1)',
    `select set_config('role', 'other', true)`,
    'set local role other',
    'create table "copy" as select * from "invoice"',
    'create temp table "copy" ("id" int)',
    'create index concurrently "invoice_note" on "invoice" ("note")',
    'alter table "invoice" add foreign key ("plan_id") references "public"."plan" ("id")',
    'alter table public.plan add column "note" text',
    'alter table "invoice" add column "a" int; set local role other',
    '-- alter table\nset role other',
    'do $$ begin alter table "invoice" add column "a" int; end $$',
    '',
  ]
  for (const sql of changes) it(`takes ${sql}`, () => assert.isTrue(isCatalogChange(sql)))
  for (const sql of others) it(`leaves ${JSON.stringify(sql)}`, () => assert.isFalse(isCatalogChange(sql)))
})
