/** Statements whose values go beside them: the same fences as around every other statement, and nothing that stays in the session. */
import { assert } from 'chai'
import { controlEm, em, type TenancyError } from 'mikro-tenantkit'
import type { BindingConnection } from '../../src/connections/internals.ts'
import { Author, ada, entities, operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

interface Answer {
  readonly affectedRows: number
  readonly rows: readonly Record<string, unknown>[]
}

const connectionOf = (manager: { getConnection(): unknown }) => manager.getConnection() as BindingConnection
const codeOf = (work: Promise<unknown>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => (error as TenancyError).code,
  )

for (const strict of [false, true]) {
  describe(`statements with their values beside them${strict ? ', in strict mode' : ''}`, function () {
    this.timeout(60_000)
    let kit: TestTenancy
    before(async () => {
      kit = await testTenancy({ entities, isolation: { strict } })
      await twoTenants(kit)
    })
    after(() => kit[Symbol.asyncDispose]())

    const inside = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: operator })
    const send = (sql: string, values: readonly unknown[] = [], transaction?: unknown) =>
      connectionOf(em()).executeBound(sql, values, transaction) as Promise<Answer>

    for (const slug of ['acme', 'globex']) {
      const schema = () => (slug === 'acme' ? `"${kit.prefix}_acme"` : 'tenant')

      it(`answer rows, whatever stands in the values (${slug})`, async () => {
        const text = `'; drop table ${schema()}.author; -- $1 ? \\ "`
        await inside(slug, async () => {
          const { rows } = await send('select $1::text as text, $2::int + 1 as sum', [text, 41])
          assert.deepEqual(rows, [{ text, sum: 42 }])
          const inserted = await send(
            `insert into ${schema()}.author (id, name, created_at, created_by, updated_at, updated_by)
              select gen_random_uuid(), name, now(), 'x', now(), 'x' from unnest($1::text[]) as name`,
            ['{one,two,three}'],
          )
          assert.equal(inserted.affectedRows, 3)
          assert.equal(await em().count(Author, {}), 3)
        })
      })

      it(`belong to the transaction they are sent in (${slug})`, async () => {
        await inside(slug, async () => {
          const before = await em().count(Author, {})
          const outcome = await em()
            .transactional(async manager => {
              await send(`delete from ${schema()}.author`, [], manager.getTransactionContext())
              assert.equal(await manager.count(Author, {}), 0)
              throw new Error('no')
            })
            .then(
              () => 'committed',
              () => 'rolled back',
            )
          assert.deepEqual([outcome, await em().count(Author, {})], ['rolled back', before])
        })
      })

      it(`are the tenant's own (${slug})`, async () => {
        const kept = await inside(slug, () => Promise.resolve(connectionOf(em())))
        assert.equal(await codeOf(kept.executeBound('select 1', [])), 'NO_TENANT_CONTEXT', 'after its run')
        const other = slug === 'acme' ? 'globex' : 'acme'
        await inside(slug, () =>
          em().transactional(async manager => {
            const transaction: unknown = manager.getTransactionContext()
            assert.equal(await codeOf(inside(other, () => send('select 1', [], transaction))), 'CROSS_TENANT_ENTITY')
          }),
        )
        assert.equal(await codeOf(inside(slug, () => send('select 1 from "__no_tenant__".author'))), 'NO_TENANT_CONTEXT')
        assert.equal(await codeOf(inside(slug, () => send('select 1 from author'))), 'NO_TENANT_CONTEXT', 'an unqualified name')
      })
    }

    it('run in the role of the tenant, and leave neither that nor a prepared statement in the session', async () => {
      const bare = await kit.tenancy.runAsSystem('test', () => controlEm().execute<{ role: string }[]>('select current_user as role'))
      const role = `select current_user as role, (select count(*)::int from pg_catalog.pg_prepared_statements) as prepared where $1`
      await inside('acme', async () => {
        for (let n = 0; n < 3; n++) {
          const alone = (await send(role, [true])).rows[0]!
          assert.equal(alone['role'] === bare[0]!.role, !strict)
          assert.equal(alone['prepared'], 0)
        }
        await em().transactional(async manager => {
          const { rows } = await send(role, [true], manager.getTransactionContext())
          assert.equal(rows[0]!['role'] === bare[0]!.role, !strict)
        })
      })
      const after = await kit.tenancy.runAsSystem('test', () => controlEm().execute<{ role: string }[]>('select current_user as role'))
      assert.deepEqual(after, bare)
      if (!strict) return
      const foreign = inside('acme', () => send(`select 1 from "${kit.prefix}_other".author where $1`, [true]))
      assert.isString(await codeOf(foreign))
      assert.isString(await codeOf(inside('acme', () => send('reset role'))), 'text that leaves the role')
    })

    it('end with a request that is aborted', async () => {
      const abort = new AbortController()
      const running = kit.tenancy.run('acme', () => send('select pg_catalog.pg_sleep($1)', [20]), { actor: ada, signal: abort.signal })
      const outcome = codeOf(running)
      setTimeout(() => abort.abort(), 100)
      const begun = Date.now()
      assert.equal(await outcome, 'RUN_ABORTED')
      assert.isBelow(Date.now() - begun, 10_000)
    })

    it('are refused by a pool that is closed', async () => {
      await using other = await testTenancy({ entities: [Author], isolation: { strict } })
      const connection = await other.tenancy.runAsSystem('test', () => Promise.resolve(connectionOf(controlEm())))
      await other.tenancy.close()
      assert.isString(await codeOf(connection.executeBound('select 1', [])))
    })
  })
}
