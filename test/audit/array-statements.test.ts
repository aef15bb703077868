import { assert } from 'chai'
import fc from 'fast-check'
import { p } from '@mikro-orm/postgresql'
import { em, newId, tenantEntity } from 'mikro-tenantkit'
import type { BindingConnection } from '../../src/connections/internals.ts'
import { query } from '../helpers/postgres.ts'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { bob } from './model.ts'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())

const properties = () => ({
  id: id(),
  title: p.text(),
  short: p.string().length(30).nullable(),
  other: p.uuid().nullable(),
  whole: p.integer(),
  small: p.smallint().nullable(),
  big: p.bigint().nullable(),
  price: p.decimal('string').precision(12).scale(3).nullable(),
  ratio: p.double().nullable(),
  flag: p.boolean().nullable(),
  data: p.json<unknown>().nullable(),
  day: p.date().nullable(),
  at: p.datetime(3).nullable(),
  list: p.array().nullable(),
  bytes: p.blob().nullable(),
  kind: p.string().default('usual'),
})
/** Written by the statements of this framework, and by MikroORM's own. */
const Written = tenantEntity({ name: 'Written', properties: properties() })
const Plainly = tenantEntity({ name: 'Plainly', audit: false, properties: properties() })
/** Of types that have no array here: always MikroORM's. */
const Versioned = tenantEntity({ name: 'Versioned', properties: { id: id(), title: p.string(), version: p.integer().version() } })
const Told = tenantEntity({ name: 'Told', history: true, properties: { id: id(), title: p.text(), note: p.text().nullable() } })
const Referring = tenantEntity({
  name: 'Referring',
  properties: { id: id(), title: p.string(), written: () => p.manyToOne(Written).nullable() },
})

const TEXT = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom(
    '',
    'null',
    'NULL',
    '{}',
    '","',
    '\\',
    '\\"',
    "'",
    "''",
    '?',
    '??',
    '$1',
    '%s',
    'a,b',
    ' a ',
    '\n',
    '{"a":1}',
    "\\' or 1 = 1",
  ),
)
const orNull = <T>(some: fc.Arbitrary<T>) => fc.option(some, { nil: null, freq: 4 })
const INSTANT = fc.date({ min: new Date('1000-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
const COMMON = {
  title: TEXT.filter(text => !text.includes('\0')),
  short: orNull(TEXT.filter(text => !text.includes('\0'))),
  other: orNull(fc.uuid()),
  whole: fc.integer(),
  small: orNull(fc.integer({ min: -32_768, max: 32_767 })),
  big: orNull(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  price: orNull(fc.constantFrom('0', '-1.5', '123456789.123', '0.0004', '7.9996')),
  ratio: orNull(fc.double({ noNaN: true, noDefaultInfinity: true })),
  flag: orNull(fc.boolean()),
  data: orNull(fc.jsonValue().filter(value => value !== null && !JSON.stringify(value).includes('\\u0000'))),
  day: orNull(fc.constantFrom('2024-02-29', '1970-01-01', '0999-12-31')),
  at: orNull(INSTANT),
}
const ROW = fc.record(COMMON)
const RARE = fc.record({
  ...COMMON,
  price: orNull(fc.constantFrom('1e3', '.5')),
  list: orNull(fc.array(fc.constantFrom('a', 'b c', '"', '\\'), { maxLength: 3 })),
  bytes: orNull(fc.uint8Array({ maxLength: 4 }).map(bytes => Buffer.from(bytes))),
})

describe('rows of a flush as arrays', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  const schema = () => `${kit.prefix}_acme`
  const inAcme = <T>(work: () => Promise<T>) => kit.tenancy.run('acme', work, { actor: bob })
  const sql = <Row extends Record<string, unknown>>(text: string) => query<Row>(kit.url, text.replaceAll('%s', `"${schema()}"`))
  before(async () => {
    kit = await testTenancy({ entities: [Written, Plainly, Versioned, Told, Referring] })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  /** What is stored of the rows of a table, as text, in the order in which they were made. */
  const stored = async (table: string): Promise<string[]> => {
    const rows = await sql<{ row: string }>(
      `select (to_jsonb(t) - 'id' - 'created_at' - 'created_by' - 'updated_at' - 'updated_by' - 'deleted_at' - 'deleted_by')::text as row
        from %s.${table} t order by id`,
    )
    return rows.map(({ row }) => row)
  }
  /** Writes rows, then changes them to others; answers the statements. */
  const write = (entity: typeof Written, rows: readonly object[], others: readonly object[]): Promise<string[]> =>
    inAcme(async () => {
      const manager = em()
      const statements: string[] = []
      const driver = manager.getDriver() as unknown as { execute(...args: unknown[]): Promise<unknown> }
      const execute = driver.execute.bind(driver)
      driver.execute = (...args) => {
        if (typeof args[0] === 'string') statements.push(args[0])
        return execute(...args)
      }
      const connection = manager.getConnection() as unknown as BindingConnection
      const executeBound = connection.executeBound.bind(connection)
      connection.executeBound = (...args) => {
        if (args[0].includes('unnest') && !args[0].includes('tenantkit_audit_event')) statements.push(args[0])
        return executeBound(...args)
      }
      const made = rows.map(row => manager.create(entity, row as never))
      await manager.flush()
      made.forEach((entity, index) => Object.assign(entity, others[index]))
      await manager.flush()
      return statements
    })
  const compare = async (rows: readonly object[], others: readonly object[]): Promise<string[]> => {
    const statements = await write(Written, rows, others)
    await write(Plainly as unknown as typeof Written, rows, others)
    assert.deepEqual(await stored('written'), await stored('plainly'))
    await sql('truncate %s.plainly; truncate %s.written cascade')
    return statements
  }

  it('store what MikroORM would', async () => {
    let arrays = 0
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(ROW, ROW), { minLength: 2, maxLength: 8 }), async pairs => {
        const statements = await compare(
          pairs.map(([row]) => row),
          pairs.map(([, other]) => other),
        )
        if (statements[0]?.includes('unnest') === true) arrays++
      }),
      { numRuns: 40 },
    )
    assert.isAbove(arrays, 15, 'most are written as arrays')
  })

  it('leave to MikroORM what has no array', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(RARE, RARE), { minLength: 2, maxLength: 4 }), pairs =>
        compare(
          pairs.map(([row]) => row),
          pairs.map(([, other]) => other),
        ).then(() => undefined),
      ),
      { numRuns: 15 },
    )
  })

  it('write rows and changes as one array a column, and who and when once', async () => {
    const rows = Array.from({ length: 3 }, (_, whole) => ({ title: 'x', whole }))
    const [insert, update] = await compare(
      rows,
      rows.map(() => ({ whole: 7 })),
    )
    assert.match(
      insert!,
      /^insert into .* select v\.c0, v\.c1, v\.c2, v\.c3, \$5::timestamptz, \$6::text, \$7::timestamptz, \$8::text from unnest\(/,
    )
    assert.match(update!, /^update .* as t set "whole" = v\.c1, "updated_at" = \$3::timestamptz, "updated_by" = \$4::text from unnest\(/)
  })

  it('take the default of a column that takes no null', async () => {
    const rows = [
      { title: 'a', whole: 1, kind: null },
      { title: 'b', whole: 2, kind: 'other' },
    ]
    await write(Written, rows, [])
    assert.sameMembers(
      (await sql<{ kind: string }>('select kind from %s.written')).map(({ kind }) => kind),
      ['usual', 'other'],
    )
    await sql('truncate %s.written cascade')
  })

  it('tell the history any text', async () => {
    const title = TEXT.filter(text => !text.includes('\0'))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(title, orNull(title), title), { minLength: 1, maxLength: 6 }), async rows => {
        await inAcme(async () => {
          const made = rows.map(([from, note]) => em().create(Told, { title: from, note }))
          await em().flush()
          rows.forEach(([, , to], index) => (made[index]!.title = to))
          await em().flush()
        })
        const events = await sql<{ changes: object }>(`select changes from %s.tenantkit_audit_event where entity = 'Told' order by id`)
        const created = rows.map(([from, note]) => ({ title: [null, from], ...(note === null ? {} : { note: [null, note] }) }))
        const updated = rows.flatMap(([from, , to]) => (from === to ? [] : [{ title: [from, to] }]))
        assert.deepEqual(
          events.map(({ changes }) => changes),
          [...created, ...updated],
        )
        await sql(`delete from %s.tenantkit_audit_event where entity = 'Told'`)
      }),
      { numRuns: 15 },
    )
  })

  it('refuse what a column refuses', async () => {
    const codeOf = async (entity: typeof Written, row: object): Promise<string | undefined> => {
      const two = [
        { title: 'a', whole: 1 },
        { title: 'b', whole: 2, ...row },
      ].map(each => ({ short: null, other: null, ...each }))
      return write(entity, two, []).then(
        () => undefined,
        (error: unknown) => (error as { code?: string }).code,
      )
    }
    for (const row of [{ short: 'x'.repeat(31) }, { whole: 3_000_000_000 }, { other: 'no","id' }, { title: 'a\0b' }]) {
      const code = await codeOf(Written, row)
      assert.isString(code, JSON.stringify(row))
      assert.equal(code, await codeOf(Plainly as unknown as typeof Written, row), JSON.stringify(row))
    }
    assert.isEmpty(await stored('written'))
  })

  it('count versions, and refuse a stale one', async () => {
    const ids = await inAcme(async () => {
      const made = ['a', 'b'].map(title => em().create(Versioned, { title }))
      await em().flush()
      for (const row of made) row.title += '!'
      await em().flush()
      assert.deepEqual(
        made.map(({ version }) => version),
        [2, 2],
      )
      return made.map(({ id: key }) => key)
    })
    const [error] = await inAcme(async () => {
      const rows = await em().find(Versioned, ids)
      await sql('update %s.versioned set version = version + 1')
      for (const row of rows) row.title += '?'
      return Promise.allSettled([em().flush()])
    })
    assert.equal(error!.status, 'rejected')
  })

  it('leave rows as they are that were deleted meanwhile', async () => {
    await inAcme(async () => {
      const made = [1, 2].map(whole => em().create(Written, { title: 'gone', whole, data: null }))
      await em().flush()
      await sql(`update %s.written set deleted_at = '2020-01-01', deleted_by = 'tenant:eve' where whole = 1 and title = 'gone'`)
      for (const row of made) em().remove(row)
      await em().flush()
    })
    const rows = await sql<{ deleted_by: string }>(`select deleted_by from %s.written where title = 'gone' order by whole`)
    assert.deepEqual(rows, [{ deleted_by: 'tenant:eve' }, { deleted_by: 'tenant:bob' }])
  })

  it('write relations, and delete several at once', async () => {
    const keys = await inAcme(async () => {
      const targets = [1, 2].map(whole => em().create(Written, { title: 't', whole, data: null }))
      const made = targets.map((written, index) => em().create(Referring, { title: `r${index}`, written }))
      await em().flush()
      made[0]!.written = targets[1]!
      made[1]!.written = null
      await em().flush()
      for (const row of made) em().remove(row)
      await em().flush()
      return targets.map(({ id: key }) => key)
    })
    const rows = await sql<{ written_id: string | null; deleted_by: string; same: boolean }>(
      'select written_id, deleted_by, deleted_at = updated_at as same from %s.referring order by title',
    )
    assert.deepEqual(rows, [
      { written_id: keys[1]!, deleted_by: 'tenant:bob', same: true },
      { written_id: null, deleted_by: 'tenant:bob', same: true },
    ])
  })
})
