import { assert } from 'chai'
import fc from 'fast-check'
import { isDestructive } from '../../src/migrations/destructive.ts'

describe('statements that lose data', () => {
  const losing = [
    'drop table "invoice"',
    'DROP TABLE IF EXISTS invoice cascade',
    'drop schema tenant cascade',
    'alter table "invoice" drop column "note"',
    'alter table "invoice"\n  drop column if exists "note", add column "b" int',
    'alter table invoice drop note',
    'alter table "invoice" alter column "total" type int using ("total"::int)',
    'alter table "invoice" alter column "note" type varchar(50) using ("note"::varchar(50))',
    'alter table invoice alter note set data type varchar (50)',
    'truncate "invoice"',
    'delete from "invoice" where "paid"',
    'drop materialized view "sums"',
    'with gone as (delete from "a" returning *) insert into "b" select * from gone',
  ]
  const keeping = [
    'create table "drop table" ("id" uuid not null)',
    'alter table "invoice" add column "drop" int null',
    'alter table "invoice" drop constraint "invoice_pkey"',
    'alter table "invoice" drop constraint if exists "invoice_customer_foreign"',
    'alter table "invoice" alter column "note" drop not null',
    'alter table "invoice" alter column "note" drop default',
    'alter table "invoice" alter column "note" type text using ("note"::text)',
    'alter table "invoice" alter column "note" type varchar',
    'drop index "invoice_note_index"',
    'drop view "sums"',
    `insert into "log" values ('drop table "invoice"')`,
    `comment on table "invoice" is 'delete from it'`,
    'select 1 -- drop table "invoice"',
    'select 1 /* truncate */',
    `do $$ begin perform 'drop table x'; end $$`,
    'create table "child" ("id" uuid references "parent" ("id") on delete cascade)',
    'update "invoice" set "note" = null',
  ]
  for (const sql of losing) it(`is one: ${sql.replace(/\s+/g, ' ')}`, () => assert.isTrue(isDestructive(sql)))
  for (const sql of keeping) it(`is none: ${sql.replace(/\s+/g, ' ')}`, () => assert.isFalse(isDestructive(sql)))

  it('is found whatever stands in literals, names and comments around it', () => {
    const text = fc.string().map(each => each.replaceAll('\0', ''))
    const noise = fc.oneof(
      text.map(each => `'${each.replaceAll("'", "''")}'`),
      text.map(each => `"x${each.replaceAll('"', '""')}"`),
      text.map(each => `/*${each.replaceAll('*/', '')} */`),
      text.map(each => `--${each.replaceAll('\n', '')}\n`),
    )
    fc.assert(
      fc.property(noise, noise, (before, after) => {
        assert.isFalse(isDestructive(`select ${before} as x, ${after}`), 'none')
        assert.isTrue(isDestructive(`${before} drop table x ${after}`), 'one')
      }),
      { numRuns: 500 },
    )
  })
})
