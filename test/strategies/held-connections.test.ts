/** Connections that Kysely, MikroORM and streams give away: what is kept of one works in its run alone, and goes back when that ends. */
import { setTimeout } from 'node:timers/promises'
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import { sentDuring } from '../helpers/spy.ts'
import { Author, ada, testTenancy, type TestTenancy } from '../helpers/tenancy.ts'

/** Kysely, or a transaction of it, as far as these tests use it. */
interface Kysely {
  connection(): { execute(work: (kept: Kysely) => Promise<void>): Promise<void> }
  transaction(): { execute(work: (kept: Kysely) => Promise<void>): Promise<void> }
  startTransaction(): { execute(): Promise<Kysely> }
  commit(): { execute(): Promise<void> }
  withSchema(schema: string): {
    selectFrom(table: string): { selectAll(): { execute(): Promise<unknown[]>; stream(): AsyncIterator<unknown> } }
  }
}

/** What may be kept, and how it is got: it stays out until `leave` resolves. */
const WAYS: Readonly<Record<string, (leave: Promise<void>, keep: (kept: Kysely) => void) => Promise<unknown>>> = {
  "a connection of Kysely's": (leave, keep) => kysely().connection().execute(held(leave, keep)),
  "a transaction of Kysely's": (leave, keep) => kysely().transaction().execute(held(leave, keep)),
  "a transaction of Kysely's that is controlled by hand": async (_leave, keep) => keep(await kysely().startTransaction().execute()),
  'the transaction of em().transactional': (leave, keep) =>
    em().transactional(manager => held(leave, keep)(manager.getTransactionContext() as unknown as Kysely)),
  'the transaction of em().begin': async (_leave, keep) => {
    await em().begin()
    keep(em().getTransactionContext() as unknown as Kysely)
  },
  'the transaction of getConnection().begin': async (_leave, keep) => keep((await connection().begin()) as Kysely),
  'the transaction of getConnection().transactional': (leave, keep) =>
    connection().transactional(kept => held(leave, keep)(kept as Kysely)),
}

const held = (leave: Promise<void>, keep: (kept: Kysely) => void) => (kept: Kysely) => {
  keep(kept)
  return leave
}
const kysely = () => em().getKysely() as unknown as Kysely
const connection = () =>
  em().getConnection() as unknown as {
    begin(): Promise<unknown>
    transactional(work: (kept: unknown) => Promise<void>): Promise<void>
    stream(sql: string): AsyncIterableIterator<unknown>
  }

async function assertRefused(codes: readonly (string | undefined)[], work: () => Promise<unknown>): Promise<void> {
  let code: string | undefined
  const sent = await sentDuring(async () => {
    code = await work().then(
      () => 'nothing was refused',
      (error: unknown) => (error as { code?: string }).code,
    )
  })
  assert.include(codes, code)
  assert.isEmpty(sent)
}

for (const strict of [false, true]) {
  describe(`connections that a run holds${strict ? ', in strict mode' : ''}`, () => {
    let kit: TestTenancy
    const run = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: ada })

    /** A rollback may be under way for a moment. */
    async function assertAllGivenBack(): Promise<void> {
      const out = () => kit.tenancy.stats().shared.inUse + kit.tenancy.stats().connections.inUse
      for (let tries = 0; tries < 500 && out() > 0; tries++) await setTimeout(20)
      assert.equal(out(), 0)
      assert.equal(kit.tenancy.stats().leases, 0)
    }

    before(async () => {
      kit = await testTenancy({ isolation: { strict } })
      await kit.asSystem(async () => {
        for (const slug of ['acme', 'initech']) await kit.tenancy.provision({ slug, name: slug, isolation: 'schema' })
        for (const slug of ['globex', 'hooli']) await kit.tenancy.provision({ slug, name: slug, isolation: 'database' })
      })
      for (const slug of ['acme', 'initech', 'globex', 'hooli']) {
        await run(slug, async () => {
          em().create(Author, { name: `of ${slug}` })
          await em().flush()
        })
      }
    })
    after(() => kit[Symbol.asyncDispose]())

    for (const [own, other] of [
      ['acme', 'initech'],
      ['globex', 'hooli'],
      ['acme', 'globex'],
    ] as const) {
      for (const [name, take] of Object.entries(WAYS)) {
        it(`${name} of ${own} works in its run, and neither in ${other} nor after it`, async () => {
          let kept!: Kysely
          let leave!: () => void
          const left = new Promise<void>(resolve => (leave = resolve))
          let done!: Promise<unknown>
          const read = () =>
            kept
              .withSchema(own === 'acme' ? `${kit.prefix}_acme` : 'tenant')
              .selectFrom('author')
              .selectAll()
              .execute()
          await run(own, async () => {
            await new Promise<void>((resolve, reject) => {
              done = take(left, given => {
                kept = given
                resolve()
              })
              done.catch(reject)
            })
            assert.lengthOf(await read(), 1)
            await run(other, () => assertRefused(['CROSS_TENANT_ENTITY'], read))
          })
          const ended = ['NO_TENANT_CONTEXT', 'CROSS_TENANT_ENTITY']
          await run(other, () => assertRefused(ended, read))
          await run(own, () => assertRefused(ended, read))
          await assertRefused(ended, read)
          // Given back although whoever took it has not come to its end.
          await assertAllGivenBack()
          leave()
          await done.catch(() => undefined)
          // Or, without a code, by Kysely itself.
          await assertRefused([...ended, undefined], read)
        })
      }

      it(`what was not committed in ${own} when its run ended is rolled back, and says so to who commits`, async () => {
        let kept!: Kysely
        await run(own, async () => {
          kept = await kysely().startTransaction().execute()
          const schema = own === 'acme' ? `${kit.prefix}_acme` : 'tenant'
          const raw = { sql: `delete from "${schema}".author`, parameters: [], query: { kind: 'RawNode' }, queryId: { queryId: 'test' } }
          await (kept as unknown as { executeQuery(compiled: object): Promise<unknown> }).executeQuery(raw)
        })
        await assertRefused(['NO_TENANT_CONTEXT'], () => kept.commit().execute())
        await assertAllGivenBack()
        assert.equal(await run(own, () => em().count(Author)), 1)
      })
    }

    for (const slug of ['acme', 'globex']) {
      for (const [name, open] of Object.entries<() => AsyncIterator<unknown>>({
        'em().stream': () => em().stream(Author, {}),
        'a stream of a query builder': () => em().createQueryBuilder(Author).select('*').stream(),
        'getConnection().stream': () => connection().stream('select * from generate_series(1, 5000)'),
        "a stream of Kysely's": () => kysely().withSchema(em().schema!).selectFrom('author').selectAll().stream(),
      })) {
        it(`${name} that is left unread in ${slug} gives its connection back, and ends with an error`, async () => {
          const rows = await run(slug, async () => {
            const opened = open()
            assert.isNotTrue((await opened.next()).done)
            return { opened }
          })
          await assertAllGivenBack()
          let code: string | undefined
          await run(slug, () => rows.opened.next()).catch((error: { code?: string }) => (code = error.code))
          assert.equal(code, 'NO_TENANT_CONTEXT')
        })
      }

      it(`a statement of ${slug} that runs when its run ends comes to its end, and its connection goes back`, async () => {
        let done!: Promise<unknown>
        await run(slug, async () => {
          done = em()
            .transactional(manager => manager.execute('select pg_sleep(0.1)'))
            .catch((error: { code?: string }) => error.code)
          await setTimeout(30)
        })
        assert.equal(await done, 'NO_TENANT_CONTEXT')
        await assertAllGivenBack()
      })
    }
  })
}
