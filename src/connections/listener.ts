/**
 * One connection that listens to a channel of PostgreSQL, for as long as the process lives.
 *
 * It opens itself again when it is lost, keeps no process alive, and never throws: whoever relies on it asks `listening`. What was sent
 * while it was not listening is lost; `connected` tells when to forget what may have changed meanwhile.
 */
import type { Socket } from 'node:net'
import pg from 'pg'
import { parseIdentifier, quoteIdentifier } from '../naming.ts'
import { settingsOf } from './settings.ts'

export interface ListenerOptions {
  /** A direct URL: behind a pooler in transaction mode nothing is heard. */
  readonly url: string
  /** Must be an identifier. */
  readonly channel: string
  /** Called with the payload of each notification. */
  readonly heard: (payload: string) => void
  /** Called each time it begins to listen. */
  readonly connected: () => void
  /** How often the connection is tried, in milliseconds. Default 2000. */
  readonly heartbeatMs?: number
  /** How long an answer may take before the connection counts as lost, in milliseconds. Default 2000. */
  readonly answerMs?: number
  /** How long the first and the longest pause before it connects again are, in milliseconds. Default 100 and 5000. */
  readonly pauseMs?: readonly [first: number, longest: number]
}

const CONNECT_MS = 5_000
const GOODBYE_MS = 1_000
const DEFAULTS = { heartbeatMs: 2_000, answerMs: 2_000, pauseMs: [100, 5_000] } as const satisfies Partial<ListenerOptions>

export class Listener {
  readonly #options: Required<ListenerOptions>
  readonly #settings: pg.ClientConfig
  #client: pg.Client | undefined
  #timer: NodeJS.Timeout | undefined
  #state: 'new' | 'lost' | 'listening' | 'closed' = 'new'
  #failures = 0

  /** @throws CONFIGURATION_INVALID, VALIDATION_FAILED if the channel is not an identifier */
  constructor(options: ListenerOptions) {
    parseIdentifier(options.channel, 'channel')
    this.#options = { ...DEFAULTS, ...options }
    const { dbName, driverOptions, ...login } = settingsOf(options.url, 'the direct URL')
    this.#settings = {
      ...login,
      database: dbName,
      ...driverOptions,
      options: '-c search_path=',
      application_name: 'mikro-tenantkit listener',
      keepAlive: true,
    }
  }

  /** Whether notifications arrive now. */
  get listening(): boolean {
    return this.#state === 'listening'
  }

  /** Begins, once; the connection is made in the background. */
  start(): void {
    if (this.#state !== 'new') return
    this.#state = 'lost'
    void this.#connect()
  }

  /** Ends for good. */
  async close(): Promise<void> {
    const client = this.#client
    const wasListening = this.listening
    this.#state = 'closed'
    this.#client = undefined
    clearTimeout(this.#timer)
    if (client === undefined) return
    if (wasListening) await goodbye(client)
    socketOf(client).destroy()
  }

  async #connect(): Promise<void> {
    const client = new pg.Client(this.#settings)
    this.#client = client
    const lost = () => this.#lost(client)
    // Without a listener for errors a lost connection would end the process.
    client.on('error', lost)
    client.on('end', lost)
    client.on('notification', ({ payload }) => {
      if (this.#client === client) this.#options.heard(payload ?? '')
    })
    this.#wait(client, CONNECT_MS)
    try {
      const connected = client.connect()
      socketOf(client).unref()
      await connected
      socketOf(client).unref()
      await client.query(`listen ${quoteIdentifier(parseIdentifier(this.#options.channel))}`)
    } catch {
      // Why is no secret to tell: the message of a driver may name the server and the user.
      return lost()
    }
    if (this.#client !== client) return
    this.#state = 'listening'
    this.#failures = 0
    this.#options.connected()
    client.connection.on('readyForQuery', () => this.#rest(client))
    this.#rest(client)
  }

  /** Until the next heartbeat: a Sync message, which the server answers without running a statement. */
  #rest(client: pg.Client): void {
    if (this.#client !== client) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#wait(client, this.#options.answerMs)
      client.connection.sync()
    }, this.#options.heartbeatMs).unref()
  }

  #wait(client: pg.Client, milliseconds: number): void {
    const timer = setTimeout(() => {
      // After the process was busy for long, the answer may lie there unread.
      setImmediate(() => {
        if (this.#timer === timer) this.#lost(client)
      })
    }, milliseconds).unref()
    this.#timer = timer
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return
    this.#client = undefined
    this.#state = 'lost'
    clearTimeout(this.#timer)
    socketOf(client).destroy()
    const [first, longest] = this.#options.pauseMs
    const pause = Math.min(longest, first * 2 ** this.#failures++)
    // Spread out, or all processes would come back to the server in the same moment.
    this.#timer = setTimeout(() => void this.#connect(), pause * (0.5 + Math.random() / 2)).unref()
  }
}

/** The one in use: TLS puts another in the place of the first. */
function socketOf(client: pg.Client): Socket {
  return client.connection.stream as Socket
}

/** The server is told that the connection ends; what does not answer is left. */
async function goodbye(client: pg.Client): Promise<void> {
  // The process must not end while this is waited for.
  socketOf(client).ref()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, GOODBYE_MS)
  })
  await Promise.race([client.end().catch(() => undefined), late])
  clearTimeout(timer)
}
