import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { withDirectClient, type DirectClient } from '../../src/connections/direct.ts'
import { freshDatabase, serverUrl, type TestDatabase } from '../helpers/postgres.ts'

describe('a direct connection', () => {
  let database: TestDatabase
  before(async () => {
    database = await freshDatabase('direct')
  })
  after(() => database.drop())

  const pidOf = async (client: DirectClient) => (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid
  const lends = { lends: true }

  it('is lent to work inside that asks by the same URL', async () => {
    const [outer, inner, again] = await withDirectClient(
      database.url,
      async client => [await pidOf(client), await withDirectClient(database.url, pidOf), await withDirectClient(database.url, pidOf)],
      lends,
    )
    assert.equal(inner, outer)
    assert.equal(again, outer)
  })

  it('is not lent unless it says so, nor by another URL', async () => {
    await withDirectClient(database.url, async client => {
      assert.notEqual(await withDirectClient(database.url, pidOf), await pidOf(client))
    })
    await withDirectClient(
      database.url,
      async client => assert.notEqual(await withDirectClient(serverUrl(), pidOf), await pidOf(client)),
      lends,
    )
  })

  it('is lent to one at a time, so that two never mix their statements', async () => {
    await withDirectClient(
      database.url,
      async client => {
        const transaction = async (inner: DirectClient) => {
          await inner.query('begin')
          const pid = await pidOf(inner)
          await sleep(5)
          await inner.query('commit')
          return pid
        }
        const pids = await Promise.all([1, 2, 3].map(() => withDirectClient(database.url, transaction)))
        assert.equal(new Set(pids).size, 3)
        assert.include(pids, await pidOf(client))
      },
      lends,
    )
  })

  it('is given back when work inside throws, and is not lent after its end', async () => {
    let late: Promise<number> | undefined
    const outer = await withDirectClient(
      database.url,
      async client => {
        await withDirectClient(database.url, () => Promise.reject(new Error('inside'))).catch(() => undefined)
        assert.equal(await withDirectClient(database.url, pidOf), await pidOf(client))
        late = sleep(20).then(() => withDirectClient(database.url, pidOf))
        return pidOf(client)
      },
      lends,
    )
    assert.notEqual(await late, outer)
  })
})
