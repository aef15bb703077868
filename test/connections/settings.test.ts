import { assert } from 'chai'
import { isSameServer, poolOptions, settingsOf, withServer } from '../../src/connections/settings.ts'

const POOL = { max: 3, idleTimeoutMillis: 1_000, connectionTimeoutMillis: 2_000, maxLifetimeSeconds: 3 }

describe('connection settings', () => {
  it('send an empty search_path as the connection starts, and nothing through a pooler', () => {
    assert.equal(poolOptions(POOL, { pooled: false })['options'], '-c search_path=')
    assert.notProperty(poolOptions(POOL, { pooled: true }), 'options')
  })

  it('look at every new connection, through a pooler or not', () => {
    for (const pooled of [false, true]) assert.isFunction(poolOptions(POOL, { pooled })['onConnect'])
  })

  it('know a server by its host and port, whatever else a URL says', () => {
    const url = 'postgresql://a:b@Pooler.example:6432/one?sslmode=require'
    assert.isTrue(isSameServer(url, 'postgres://c:d@pooler.example:6432/two'))
    assert.isFalse(isSameServer(url, 'postgres://a:b@pooler.example/one'))
    assert.isFalse(isSameServer(url, 'postgres://a:b@server.example:6432/one'))
    assert.isTrue(isSameServer('postgresql://x/a', 'postgresql://x:5432/b'))
  })

  it('lead past a pooler with the same log-in and database', () => {
    const url = withServer(
      'postgresql://us%40er:p%2Fw@pooler:6432/the%20db?sslmode=disable',
      'postgresql://admin:secret@server/other?sslmode=require',
    )
    assert.deepInclude(settingsOf(url), { host: 'server', port: 5432, user: 'us@er', password: 'p/w', dbName: 'the db' })
    assert.deepEqual(settingsOf(url).driverOptions, { ssl: { rejectUnauthorized: false } })
    assert.notInclude(url, 'secret')
  })
})
