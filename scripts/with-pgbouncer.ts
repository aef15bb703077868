/**
 * Runs the isolation tests through PgBouncer in transaction mode, once with 5 connections to the server for each database and role, and once
 * with 1. Boots the embedded PostgreSQL and a PgBouncer of its own on a free port; the system's service is not touched. Without arguments it
 * runs the tests of isolation; with arguments, those files. Without a `pgbouncer` it says `skipped: <reason>` and ends well.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, chmodSync, chownSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Client, escapeIdentifier, escapeLiteral } from 'pg'
import { removeEmbedded, startEmbedded } from '../src/embedded/index.ts'
import { runMocha, testFiles } from './mocha.ts'

const DEFAULT_TESTS = [
  'test/{isolation,interleaving}.test.ts',
  'test/no-way-round/special-ways.test.ts',
  'test/strategies/{shared,pinned-query-builder,strict,held-connections}.test.ts',
  'test/connections/{database-tenants,pgbouncer}.test.ts',
]
const POOL_SIZES = [5, 1]
/** As many as on each server that is not the newest. */
const INTERLEAVING_OPERATIONS = '5000'
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  max_connections: '300',
  max_locks_per_transaction: '256',
}
/** PgBouncer refuses to be root. Debian's package makes no user of its own but uses that of PostgreSQL; this one is everywhere. */
const USER = 'nobody'
const LOOKUP_ROLE = 'pgbouncer_lookup'
const READY_MS = 10_000

const given = process.argv.slice(2)
const files = testFiles(given.length > 0 ? given : DEFAULT_TESTS)

/** What runs now and has to hear of signals, in the order in which it is ended. */
const running = new Set<ChildProcess>()
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted = true
    for (const child of running) child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal)
  })
}

const binary = findBinary()
if (binary === undefined) {
  console.log('skipped: there is no pgbouncer on the path or in /usr/sbin')
} else {
  console.log(spawnSync(binary, ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0])
  await runAll(binary)
}

function findBinary(): string | undefined {
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'].map(folder => join(folder, 'pgbouncer')).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function runAll(pgbouncer: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tenantkit-pgbouncer-'))
  // The server's user, another than root, has to pass through.
  chmodSync(folder, 0o711)
  try {
    const server = await startEmbedded({ dataDir: folder, settings: SETTINGS })
    try {
      const lookup = await makeLookupRole(server.url)
      for (const poolSize of POOL_SIZES) {
        if (interrupted) process.exitCode = 1
        else await runThrough(pgbouncer, { url: server.url, lookup, poolSize })
      }
    } finally {
      await server.stop()
    }
  } finally {
    await removeEmbedded({ dataDir: folder })
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Run {
  readonly url: string
  readonly lookup: string
  readonly poolSize: number
}

async function runThrough(pgbouncer: string, run: Run): Promise<void> {
  const begun = Date.now()
  const pooler = await startPgBouncer(pgbouncer, run)
  try {
    const env = {
      DATABASE_URL: pooler.url,
      DATABASE_DIRECT_URL: run.url,
      TENANTKIT_TEST_POOL_SIZE: String(run.poolSize),
      INTERLEAVING_OPERATIONS: process.env['INTERLEAVING_OPERATIONS'] ?? INTERLEAVING_OPERATIONS,
      TENANTKIT_TEST_PGBOUNCER_CONSOLE: pooler.consoleUrl,
    }
    let mocha: ChildProcess | undefined
    const started = (child: ChildProcess): void => void running.add((mocha = child))
    const code = await runMocha(files, { options: ['--parallel', '--jobs', '2', '--timeout', '20000'], env, started })
    if (mocha !== undefined) running.delete(mocha)
    console.log(`default_pool_size ${run.poolSize}: ${code === 0 ? 'ok' : 'FAILED'} (${Math.round((Date.now() - begun) / 1000)} s)`)
    if (code !== 0) {
      process.exitCode = 1
      console.log(pooler.log())
    }
  } finally {
    await pooler.stop()
  }
}

/** The role that PgBouncer looks passwords up with: the roles of tenants are made while it runs. Answers the password. */
async function makeLookupRole(url: string): Promise<string> {
  const password = randomBytes(18).toString('base64url')
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(`create role ${escapeIdentifier(LOOKUP_ROLE)} login superuser password ${escapeLiteral(password)}`)
  } finally {
    await client.end()
  }
  return password
}

interface Pooler {
  readonly url: string
  readonly consoleUrl: string
  log(): string
  stop(): Promise<void>
}

async function startPgBouncer(pgbouncer: string, { url, lookup, poolSize }: Run): Promise<Pooler> {
  const folder = mkdtempSync(join(tmpdir(), 'tenantkit-pgbouncer-settings-'))
  const port = await freePort()
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const users = file('users.txt', `"${LOOKUP_ROLE}" "${lookup}"\n`)
  const settings = file('pgbouncer.ini', settingsOf({ server: new URL(url), port, poolSize, users }))
  const asRoot = process.getuid?.() === 0
  if (asRoot) for (const path of [folder, users, settings]) chownSync(path, idOf('-u'), idOf('-g'))
  const child = spawn(pgbouncer, ['--quiet', settings], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(asRoot ? { uid: idOf('-u'), gid: idOf('-g') } : {}),
  })
  running.add(child)
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (log = `${log}${text}`.slice(-8_000)))
  const ended = once(child, 'exit').then(() => running.delete(child))
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await ready(port, child)
  } catch (error) {
    await stop()
    throw new Error(`PgBouncer did not start:\n${log}`, { cause: error })
  }
  const at = (user: string, password: string, database: string): string =>
    Object.assign(new URL('postgresql://127.0.0.1'), { username: user, password, port: String(port), pathname: `/${database}` }).href
  const { username, password } = new URL(url)
  return { url: at(username, password, 'postgres'), consoleUrl: at(LOOKUP_ROLE, lookup, 'pgbouncer'), log: () => log, stop }
}

/**
 * Everything that is not named is left at its default, but that a log-in that failed (of a database that is made or dropped just now) does
 * not keep the others waiting for 15 seconds: no `ignore_startup_parameters`, no reset query in transaction mode.
 */
function settingsOf({ server, port, poolSize, users }: { server: URL; port: number; poolSize: number; users: string }): string {
  return `[databases]
* = host=${server.hostname} port=${server.port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 1000
auth_type = scram-sha-256
auth_file = ${users}
auth_user = ${LOOKUP_ROLE}
auth_query = select usename, passwd from pg_catalog.pg_shadow where usename = $1
admin_users = ${LOOKUP_ROLE}
server_idle_timeout = 5
server_login_retry = 1
log_connections = 0
log_disconnections = 0
`
}

function idOf(flag: '-u' | '-g'): number {
  return Number(spawnSync('id', [flag, USER], { encoding: 'utf8' }).stdout)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function ready(port: number, child: ChildProcess): Promise<void> {
  for (const end = Date.now() + READY_MS; Date.now() < end && child.exitCode === null; await setTimeout(20)) {
    const socket = connect(port, '127.0.0.1')
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (open) return
  }
  throw new Error('It does not listen.')
}
