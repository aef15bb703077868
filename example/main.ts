/** Starts the example: database, migrations, demo data, server. */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ConfigurationError, TenancyError, createTenancy } from 'mikro-tenantkit'
import type { Tenancy } from 'mikro-tenantkit'
import { pino } from 'pino'
import { announcement } from './announce.ts'
import { createApp } from './app.ts'
import { configuration } from './configuration.ts'
import type { Configuration } from './configuration.ts'
import { releaseDatabase } from './database.ts'
import { seedDemo, seedOperator } from './seed.ts'

/** How long requests under way may take when the process stops. */
const DRAIN_MS = 10_000
/** How often the history is sealed. */
const SEAL_MS = 60_000

const log = pino({ base: null, redact: ['req.headers.authorization', 'password', 'token'] })
const stopping = new AbortController()
let server: Server | undefined
let tenancy: Tenancy | undefined
let sealing: NodeJS.Timeout | undefined
let isReady = false

async function start(): Promise<void> {
  const config = configuration()
  // Not above: it reads the configuration, and what is missing there is to be said plainly.
  const { options } = await import('../mikro-orm.config.ts')
  tenancy = await createTenancy(options)
  await prepare(tenancy, config)
  if (stopping.signal.aborted) return
  const { jwtSecret, trustProxy } = config
  const app = createApp(tenancy, { jwtSecret, trustProxy, log, isReady: () => isReady && !stopping.signal.aborted })
  const answer = app.callback()
  const listening = createServer((request, response) => void answer(request, response))
  server = listening
  await new Promise<void>((resolve, reject) => {
    listening.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, config)))
    listening.listen(config.port, config.host, resolve)
  })
  process.stdout.write(`${announcement(config, originOf(listening, config)).join('\n')}\n`)
  isReady = true
  sealing = setInterval(() => void seal(), SEAL_MS)
}

async function seal(): Promise<void> {
  if (tenancy === undefined || stopping.signal.aborted) return
  try {
    for (const { plane, error } of await tenancy.history.seal())
      if (error !== undefined) log.error({ plane, error }, 'a history was not sealed')
  } catch (error) {
    log.error({ error: error instanceof Error ? error.message : String(error) }, 'no history was sealed')
  }
}

/** The schema and the first rows. In production only `tenantkit migrate` migrates. */
async function prepare(running: Tenancy, config: Configuration): Promise<void> {
  if (config.isProduction) {
    if (await running.pendingMigrations())
      throw new ConfigurationError(['The database has an old schema.'], 'Run `npx tenantkit migrate`, then start again.')
    return seedOperator(running, config)
  }
  const { tenants } = await running.runAsSystem('start', () => running.migrate({ scope: 'all' }))
  for (const { tenant, status, error } of tenants) if (status === 'failed') log.error({ tenant, error }, 'a tenant was not migrated')
  await seedOperator(running, config)
  if (config.demoPassword !== undefined) await seedDemo(running, config.demoPassword).catch(withReason)
}

/** Other keys than those of the last start are the most likely mistake; "a secret does not open" does not say it. */
function withReason(error: unknown): never {
  if (error instanceof TenancyError && (error.code === 'SECRET_KEY_UNKNOWN' || error.code === 'SECRET_TAMPERED'))
    throw new ConfigurationError(
      [`The stored connection strings do not open with the keys that are given. ${error.message}`],
      'Give the keys of the first start (TENANTKIT_ENCRYPTION_KEYS, or secrets.json in the data folder), or begin with an empty database.',
    )
  throw error
}

function originOf(server: Server, { host }: Configuration): string {
  const { port } = server.address() as AddressInfo
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`
}

function cannotListen(error: NodeJS.ErrnoException, { host, port }: Configuration): Error {
  if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES' && error.code !== 'EADDRNOTAVAIL') return error
  return new ConfigurationError([`The application cannot listen on ${host}:${port} (${error.code}).`], 'Set PORT or HOST to another one.')
}

/** Ends what is under way, then everything else. */
async function stop(): Promise<void> {
  clearInterval(sealing)
  if (server !== undefined) await drained(server)
  await tenancy?.close()
  await releaseDatabase()
}

async function drained(listening: Server): Promise<void> {
  const closed = new Promise<void>(resolve => void listening.close(() => resolve()))
  listening.closeIdleConnections()
  const timer = setTimeout(() => listening.closeAllConnections(), DRAIN_MS)
  await closed
  clearTimeout(timer)
}

function explain(error: unknown): void {
  if (error instanceof TenancyError) process.stderr.write(`${error.message}\n${error.hint === undefined ? '' : `${error.hint}\n`}`)
  else process.stderr.write(`The start failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
}

const starting = start()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (stopping.signal.aborted) return
    stopping.abort()
    starting
      .catch(() => undefined)
      .then(stop)
      .then(
        () => process.exit(0),
        (error: unknown) => {
          explain(error)
          process.exit(1)
        },
      )
  })
}
starting.catch(async (error: unknown) => {
  if (stopping.signal.aborted) return
  explain(error)
  await stop().catch(() => undefined)
  process.exit(1)
})
