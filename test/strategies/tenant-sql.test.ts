import { assert } from 'chai'
import { raw } from '@mikro-orm/postgresql'
import { Tenant, controlEm, em, newId, tenantEntity, tenantSql, type Actor, type TenantSql } from 'mikro-tenantkit'
import { query } from '../helpers/postgres.ts'
import { Author, Book, Country, Notice, Person, Tag, ada, operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

interface Refusal extends Error {
  readonly code?: string
}
interface Row {
  readonly [column: string]: unknown
}

let kit: TestTenancy

const inTenant = <T>(slug: string, work: () => Promise<T>, actor: Actor = ada) => kit.tenancy.run(slug, work, { actor })
const rows = (fragment: TenantSql) => em().execute<Row[]>(fragment)

async function refusal(work: () => unknown): Promise<Refusal> {
  try {
    await work()
  } catch (error) {
    return error as Refusal
  }
  return assert.fail('nothing was refused')
}

/** What PostgreSQL would get. */
const written = (fragment: TenantSql) => em().getPlatform().formatQuery(fragment.sql, fragment.params)

describe('tenantSql', () => {
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'initech', name: 'Initech', isolation: 'schema' }))
    const ids = await kit.asSystem(async () => {
      const tenants = await controlEm().find(Tenant, {})
      return new Map(tenants.map(tenant => [tenant.slug, tenant.id]))
    })
    await kit.asSystem(async () => {
      const control = controlEm()
      control.create(Country, { code: 'FR' })
      control.create(Notice, { text: 'for all', allowedTenants: [] })
      control.create(Notice, { text: 'for acme', allowedTenants: [ids.get('acme')!] })
      control.create(Notice, { text: 'for nobody', allowedTenants: [newId()] })
      await control.flush()
    })
    for (const slug of ['acme', 'initech', 'globex']) {
      await inTenant(slug, async () => {
        const author = em().create(Author, { name: `of ${slug}` })
        em().create(Book, { title: 'first', author })
        em().create(Book, { title: "it's ? a; second", author })
        await em().flush()
      })
    }
  })
  after(() => kit[Symbol.asyncDispose]())

  for (const slug of ['acme', 'initech', 'globex']) {
    it(`entities are the tables of the active tenant: ${slug}`, async () => {
      await inTenant(slug, async () => {
        const found = await rows(
          tenantSql`select b.title, a.name from ${Book} b join ${Author} a on a.id = b.author_id where b.title = ${'first'} -- a comment?`,
        )
        assert.deepEqual(found, [{ title: 'first', name: `of ${slug}` }])
      })
    })
  }

  it('a fragment that was built in one tenant names the tables of the one it is executed in', async () => {
    const built = await inTenant('acme', async () => tenantSql`select name from ${Author}`)
    const renamed = await inTenant('acme', async () => tenantSql`(select name from ${Author} limit 1)`.as('who'))
    for (const slug of ['initech', 'acme', 'globex']) {
      await inTenant(slug, async () => {
        assert.deepEqual(await rows(built), [{ name: `of ${slug}` }])
        assert.deepEqual(await rows(tenantSql`select ${renamed}`), [{ who: `of ${slug}` }])
      })
    }
    const manager = await inTenant('acme', async () => em())
    assert.include(
      ['NO_TENANT_CONTEXT', 'CROSS_TENANT_ENTITY'],
      (await refusal(() => inTenant('initech', () => manager.execute(built)))).code,
    )
  })

  it('outside of a tenant it is refused, on every way', async () => {
    const fragment = tenantSql`select * from ${Author}`
    assert.equal((await refusal(() => fragment.sql)).code, 'NO_TENANT_CONTEXT')
    assert.equal((await refusal(() => fragment.params)).code, 'NO_TENANT_CONTEXT')
    assert.equal((await refusal(() => kit.asSystem(() => controlEm().execute(fragment)))).code, 'NO_TENANT_CONTEXT')
  })

  it('values are parameters, whatever is in them', async () => {
    await inTenant('acme', async () => {
      const evil = `'; drop table "x"; -- ? \\ ?? $1`
      const bytes = new Uint8Array([0, 255, 39])
      const date = new Date('2026-01-02T03:04:05.678Z')
      const [row] = await rows(
        tenantSql`select ${evil} as text, ${-1}::int as minus, 5 -${-2}::int as sum, ${true}::bool as yes, ${null}::text as nothing, ${12345678901234567890n}::numeric as big, ${bytes}::bytea as bytes, ${date}::timestamptz as date, ${0.5}::float8${'' as never as string}::text as x`,
      ).catch(() => [undefined])
      assert.isUndefined(row, 'two values side by side are no SQL')
      const [good] = await rows(
        tenantSql`select ${evil} as text, ${-1}::int as minus, 5 -${-2}::int as sum, ${true}::bool as yes, ${null}::text as nothing, ${12345678901234567890n}::numeric as big, encode(${bytes}::bytea, 'hex') as bytes, ${date}::timestamptz = '2026-01-02T03:04:05.678Z' as same`,
      )
      assert.deepEqual(good, {
        text: evil,
        minus: -1,
        sum: 7,
        yes: true,
        nothing: null,
        big: '12345678901234567890',
        bytes: '00ff27',
        same: true,
      })
    })
  })

  it('lists stand in parentheses after in', async () => {
    await inTenant('acme', async () => {
      const titles = ['first', "it's ? a; second", '?? nothing']
      assert.lengthOf(await rows(tenantSql`select * from ${Book} where title in (${titles})`), 2)
      assert.lengthOf(await rows(tenantSql`select * from ${Book} where title NOT IN ( ${['first']} )`), 1)
    })
    assert.equal((await refusal(() => tenantSql`select 1 in (${[]})`)).code, 'SQL_REFUSED')
    assert.equal((await refusal(() => tenantSql`select ${['a', 'b']}`)).code, 'SQL_REFUSED')
    assert.equal((await refusal(() => tenantSql`select f(${['a', 'b']})`)).code, 'SQL_REFUSED')
  })

  it("question marks of the text are the text's own", async () => {
    await inTenant('acme', async () => {
      const [row] = await rows(
        tenantSql`select '{"a":1}'::jsonb ? 'a' as has, '{"a":1}'::jsonb ?| array['b?'] as any, '{"a":1}'::jsonb ?${'a'} as bound, 'who?' as "why?", $t$?$t$ as d`,
      )
      assert.deepEqual(row, { has: true, any: false, bound: true, 'why?': 'who?', d: '?' })
      const [alone] = await rows(tenantSql`select '{"a":1}'::jsonb ? 'a' as has, 'who??' as text`)
      assert.deepEqual(alone, { has: true, text: 'who??' })
    })
  })

  it('columns are checked against the entity', async () => {
    await inTenant('acme', async () => {
      assert.equal(
        written(tenantSql`select ${tenantSql.column(Book, 'createdAt', 'b')} from ${Book} b order by ${tenantSql.column(Book, 'author')}`),
        `select "b"."created_at" from "${kit.prefix}_acme"."book" b order by "author_id"`,
      )
      for (const property of ['nothing', 'tags', '__proto__', 'title" from x --']) {
        assert.equal(
          (await refusal(() => rows(tenantSql`select ${tenantSql.column(Book, property as 'title')}`))).code,
          'SQL_REFUSED',
          property,
        )
      }
    })
    assert.equal((await refusal(() => tenantSql.column(Book, 'title', 'b"; x'))).code, 'VALIDATION_FAILED')
  })

  it('fragments nest, with their values in order', async () => {
    const conditions = [
      tenantSql`a.name = ${'of acme'}`,
      tenantSql`exists (select 1 from ${Book} b where b.author_id = a.id and b.title = ${'first'})`,
    ]
    const both = tenantSql.join(conditions, ' and ')
    await inTenant('acme', async () => {
      assert.deepEqual(await rows(tenantSql`select ${1}::int as n, a.name from ${Author} a where ${both} and ${2} = 2`), [
        { n: 1, name: 'of acme' },
      ])
      assert.deepEqual(await rows(tenantSql`select a.name from ${Author} a where ${tenantSql`true -- never ends`} and false`), [])
    })
    assert.equal((await refusal(() => tenantSql.join([], ', '))).code, 'SQL_REFUSED')
    assert.equal((await refusal(() => tenantSql.join(conditions, '; ' as ', '))).code, 'SQL_REFUSED')
  })

  it('query builders, conditions and the connection take it', async () => {
    const hasFirst = tenantSql`exists (select 1 from ${Book} b where b.title = ${'first'} and b.title <> '?')`
    await inTenant('acme', async () => {
      assert.lengthOf(await em().createQueryBuilder(Author, 'a').where(hasFirst).getResult(), 1)
      assert.lengthOf(await em().find(Author, { [hasFirst as never]: true }), 1)
      assert.lengthOf(await em().find(Author, { [tenantSql`exists (select 1 from ${Tag})` as never]: true }), 0)
      assert.lengthOf(
        await em()
          .getConnection()
          .execute(tenantSql`select * from ${Author}`),
        1,
      )
      assert.deepEqual(
        await em()
          .createQueryBuilder(Author, 'a')
          .select(['a.name', tenantSql`(select count(*)::int from ${Book})`.as('books') as never])
          .execute(),
        [{ name: 'of acme', books: 2 }] as never,
      )
      assert.equal(
        String(
          await em()
            .createQueryBuilder(Book)
            .where(tenantSql`title in (${['first']})`)
            .getCount(),
        ),
        '1',
      )
    })
  })

  it('it joins the open transaction, and its writes are rolled back with it', async () => {
    for (const slug of ['acme', 'globex']) {
      await inTenant(slug, async () => {
        await refusal(() =>
          em().transactional(async () => {
            await rows(tenantSql`update ${Author} set name = ${'changed'} where true`)
            assert.deepEqual(await rows(tenantSql`select name from ${Author}`), [{ name: 'changed' }])
            throw new Error('back')
          }),
        )
        assert.deepEqual(await rows(tenantSql`select name from ${Author}`), [{ name: `of ${slug}` }])
      })
    }
  })

  it("soft-deleted rows are seen: leaving them out is the caller's", async () => {
    await inTenant('acme', async () => {
      const tag = em().create(Tag, { label: 'gone' })
      await em().flush()
      await em().remove(tag).flush()
      assert.lengthOf(await rows(tenantSql`select * from ${Tag}`), 1)
      assert.lengthOf(await rows(tenantSql`select * from ${Tag} where ${tenantSql.column(Tag, 'deletedAt')} is null`), 0)
    })
  })

  describe('shared entities', () => {
    it('are read where they stand in the same database', async () => {
      await inTenant('acme', async () => {
        assert.deepEqual(await rows(tenantSql`select c.code from ${Author} a, ${Country} c`), [{ code: 'FR' }])
        assert.deepEqual(await rows(tenantSql`select ${Country}.code from ${Author} a left join ${Country} on true`), [{ code: 'FR' }])
        assert.deepEqual(
          await rows(tenantSql`with d as (delete from ${Tag} using ${Country} c returning 1) select 1 as one from only ${Country}`),
          [{ one: 1 }],
        )
      })
    })

    it('show the rows that are for the tenant', async () => {
      const texts = (slug: string) =>
        inTenant(slug, async () => (await rows(tenantSql`select n.text from ${Notice} n order by 1`)).map(({ text }) => text))
      assert.deepEqual(await texts('acme'), ['for acme', 'for all'])
      assert.deepEqual(await texts('initech'), ['for all'])
      await inTenant('acme', async () =>
        assert.equal((await refusal(() => rows(tenantSql`select ${Notice}.text from public.notice`))).code, 'SQL_REFUSED'),
      )
    })

    it('are never written', async () => {
      await inTenant(
        'acme',
        async () => {
          for (const fragment of [
            tenantSql`insert into ${Country} (code) values ('x')`,
            tenantSql`update ${Country} set code = 'x'`,
            tenantSql`update /* from */ only ${Country} set code = 'x'`,
            tenantSql`delete from ${Country}`,
            tenantSql`DELETE FROM ONLY ${Country}`,
            tenantSql`delete -- select
              from ${Country}`,
            tenantSql`with d as (delete from ${Country} returning *) select * from d`,
            tenantSql`truncate ${Country}`,
            tenantSql`truncate table ${Tag}, ${Country}`,
            tenantSql`merge into ${Country} c using ${Author} a on true when matched then delete`,
            tenantSql`lock table ${Country}`,
            tenantSql`${tenantSql`delete from`} ${Country}`,
          ]) {
            assert.equal((await refusal(() => em().execute(fragment))).code, 'CROSS_TENANT_ENTITY', String(fragment.toJSON()))
          }
        },
        operator,
      )
      assert.lengthOf(await query(kit.url, 'select * from public.country'), 1)
    })

    it('are another database to a tenant that has its own', async () => {
      await inTenant('globex', async () => {
        assert.equal((await refusal(() => rows(tenantSql`select * from ${Country}`))).code, 'CROSS_DATABASE_QUERY')
        assert.equal((await refusal(() => rows(tenantSql`select * from ${Author}, ${Notice} n`))).code, 'CROSS_DATABASE_QUERY')
      })
    })

    it('of the control plane alone are refused, and so are the shared halves of both entities', async () => {
      for (const slug of ['acme', 'globex']) {
        await inTenant(
          slug,
          async () => {
            assert.deepEqual(await rows(tenantSql`select * from ${Person.tenant}`), [])
            for (const entity of [Person.shared, Tenant]) {
              assert.equal((await refusal(() => rows(tenantSql`select * from ${entity}`))).code, 'CROSS_TENANT_ENTITY')
              assert.equal((await refusal(() => rows(tenantSql`select ${entity}.id from ${entity}`))).code, 'CROSS_TENANT_ENTITY')
            }
          },
          operator,
        )
      }
    })
  })

  it('what is neither an entity of this tenancy nor a value is refused', async () => {
    const Stranger = tenantEntity({ name: 'Author', properties: p => ({ id: p.uuid().primary() }) })
    class Book2 {}
    Object.defineProperty(Book2, 'name', { value: 'Book' })
    await inTenant('acme', async () => {
      assert.equal((await refusal(() => rows(tenantSql`select * from ${Stranger}`))).code, 'SQL_REFUSED')
      assert.equal((await refusal(() => rows(tenantSql`select * from ${Book2}`))).code, 'SQL_REFUSED')
      const author = await em().findOneOrFail(Author, {})
      for (const value of [undefined, {}, author, Person, Symbol('x'), Number.NaN, new Date('x'), raw('now()'), 'a\0b', [['a']], /x/]) {
        assert.equal((await refusal(() => tenantSql`select ${value as never}`)).code, 'SQL_REFUSED', typeof value)
        assert.equal((await refusal(() => tenantSql`select 1 in (${[value] as never})`)).code, 'SQL_REFUSED', typeof value)
      }
    })
  })

  it('a value inside quotes or a comment, a second statement and a call with a string are refused when they are written', async () => {
    const value = "x' or true --"
    for (const build of [
      () => tenantSql`select '${value}'`,
      () => tenantSql`select E'\\' ${value}'`,
      () => tenantSql`select "${value}"`,
      () => tenantSql`select $$${value}$$`,
      () => tenantSql`select 1 -- ${value}`,
      () => tenantSql`select 1 /* ${value} */`,
      () => tenantSql`select 1; select ${value}`,
      () => tenantSql`select 'open`,
      () => tenantSql`select '\u{zz}'`,
      () => (tenantSql as unknown as (text: string) => TenantSql)(`select ${value}`),
      () => (tenantSql as unknown as (text: string[]) => TenantSql)([`select ${value}`]),
    ]) {
      assert.equal((await refusal(build)).code, 'SQL_REFUSED', build.toString())
    }
  })

  it('a name without a schema fails in PostgreSQL as it does elsewhere', async () => {
    await inTenant('acme', async () => {
      assert.equal((await refusal(() => rows(tenantSql`select * from author`))).code, 'NO_TENANT_CONTEXT')
    })
  })

  it('logs show entities and no values', () => {
    assert.equal(
      JSON.stringify(tenantSql`select ${tenantSql.column(Author, 'name')} from ${Author} where name = ${'secret'}`),
      '"tenantSql(select {Author.name} from {Author} where name = ?)"',
    )
  })
})
