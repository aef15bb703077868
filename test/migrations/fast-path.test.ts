/** Several targets in one transaction: all of them or none, and nobody is waited for. */
import { assert } from 'chai'
import pg from 'pg'
import type { DirectClient } from '../../src/connections/direct.ts'
import { FastPath } from '../../src/migrations/fast-path.ts'
import { parseIdentifier } from '../../src/naming.ts'
import { freshDatabase, query, type TestDatabase } from '../helpers/postgres.ts'

const LIMIT_MS = 10_000

describe('the fast path for several targets', function () {
  this.timeout(30_000)
  let database: TestDatabase
  let client: pg.Client
  let direct: DirectClient
  before(async () => {
    database = await freshDatabase('fast path')
    const table = 'create table %.item (id int); create table %.tenantkit_migration (name text primary key)'
    for (const schema of ['one', 'two']) await query(database.url, `create schema %; ${table}`.replaceAll('%', schema))
    client = new pg.Client({ connectionString: database.url, options: '-c search_path=' })
    await client.connect()
    direct = client as unknown as DirectClient
  })
  after(async () => {
    await client?.end()
    await database?.drop()
  })

  const path = (...statements: string[]) => {
    const declared = { shown: statements, transactional: true, online: false, destructive: false }
    return new FastPath([{ name: 'first', statements, ...declared }], { timeoutMs: 60_000, attempts: 1 })
  }
  const targets = ['one', 'two'].map(schema => ({ schema: parseIdentifier(schema), recorded: [], names: ['first'] }))
  const recorded = () => query(database.url, 'select name from one.tenantkit_migration union all select name from two.tenantkit_migration')
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => undefined,
      (error: { code?: string }) => error.code,
    )

  it('gives up soon where a table is locked, and has changed none', async () => {
    const other = new pg.Client({ connectionString: database.url })
    await other.connect()
    try {
      await other.query('begin; lock table two.item in access share mode')
      const began = performance.now()
      assert.equal(await codeOf(path('alter table "item" add column "a" int').sendTogether(direct, targets)), '55P03')
      assert.isBelow(performance.now() - began, LIMIT_MS)
    } finally {
      await other.end()
    }
    assert.deepEqual(await recorded(), [])
    assert.deepEqual(
      await query(
        database.url,
        `select from pg_attribute where attname = 'a' and attrelid in ('one.item'::regclass, 'two.item'::regclass)`,
      ),
      [],
    )
  })

  it('gives up where a statement takes long', async () => {
    await query(database.url, 'insert into two.item values (1)')
    await query(
      database.url,
      `create function public.slowly() returns int volatile language plpgsql as 'begin perform pg_catalog.pg_sleep(30); return 1; end'`,
    )
    const began = performance.now()
    assert.equal(await codeOf(path('alter table "item" add column "b" int default public.slowly()').sendTogether(direct, targets)), '57014')
    assert.isBelow(performance.now() - began, LIMIT_MS)
    assert.deepEqual(await recorded(), [])
  })

  it('fails where one has something else recorded, and leaves no setting behind', async () => {
    const settings = async () =>
      (
        await client.query(
          `select current_setting('lock_timeout') as l, current_setting('statement_timeout') as s, current_setting('search_path') as p`,
        )
      ).rows
    const before = await settings()
    await query(database.url, `insert into two.tenantkit_migration values ('other')`)
    const change = path('alter table "item" add column "c" int')
    assert.equal(await codeOf(change.sendTogether(direct, targets)), '22012')
    assert.lengthOf(await recorded(), 1)
    await query(database.url, 'delete from two.tenantkit_migration')
    await change.sendTogether(direct, targets)
    assert.deepEqual(await recorded(), [{ name: 'first' }, { name: 'first' }])
    assert.deepEqual(await settings(), before)
  })

  it('is for few at a time where the migrations are long, and for none that work on rows or refer to others', () => {
    assert.isAbove(path('alter table "item" add column "d" int').together(['first']), 9)
    assert.equal(path(...Array<string>(100).fill('comment on table "item" is null')).together(['first']), 1)
    assert.equal(path('update "item" set "id" = 1').together(['first']), 1)
    assert.equal(path('alter table "item" add foreign key ("id") references "public"."plan" ("id")').together(['first']), 1)
  })
})
