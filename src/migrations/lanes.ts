/**
 * Direct connections for migrations: one PostgreSQL session each, lent to one run at a time.
 *
 * A lane is a session, so an advisory lock taken on it holds for the whole run. It is handed back clean (`discard all`), whatever a
 * migration did to its settings; one that cannot be cleaned is closed.
 */
import type { Configuration, Transaction } from '@mikro-orm/postgresql'
import { ConnectionClosedError } from '../errors.ts'
import { BaseConnection, type ConnectionInternals } from '../connections/internals.ts'
import type { TransactionalConnection } from './internals.ts'

/** How long an idle lane is kept, in milliseconds. */
const IDLE_MS = 10_000

/** How long a query waits for the lane's one session: only a query outside of the migration's transaction ever does. */
const CONNECTION_WAIT_MS = 15_000

class LaneConnection extends BaseConnection {
  #closed = false

  override async connect(options?: { skipOnConnect?: boolean }): Promise<void> {
    this.#assertOpen()
    await super.connect(options)
  }

  /** The stock connection forgets its options when it is closed, and would come back with those of the ORM: another database. */
  override getClient(): unknown {
    this.#assertOpen()
    return super.getClient()
  }

  override async close(force?: boolean): Promise<void> {
    this.#closed = true
    await super.close(force)
  }

  #assertOpen(): void {
    if (this.#closed) throw new ConnectionClosedError('migrations')
  }
}

/** One session, lent to one run. */
export class Lane {
  readonly connection: ConnectionInternals
  readonly url: string

  constructor(config: Configuration, platform: unknown, url: string) {
    this.url = url
    this.connection = new LaneConnection(config, { dbName: databaseOf(url), driverOptions: sessionOptions(url) }, 'write')
    this.connection.setPlatform(platform)
  }

  /** Runs one statement and answers its rows. */
  async query<T>(sql: string, transaction?: Transaction): Promise<T[]> {
    return (await this.connection.execute(sql, [], 'all', transaction)) as T[]
  }

  transactional<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return (this.connection as unknown as TransactionalConnection).transactional(work)
  }
}

/** The lanes of one `Migrations`: at most `max` at once, further runs wait. */
export class Lanes {
  readonly #make: (url: string) => Lane
  readonly #keep: string
  readonly #max: number
  readonly #idle: Lane[] = []
  readonly #waiting: (() => void)[] = []
  readonly #ending: (() => void)[] = []
  #open = 0
  #closed = false
  #timer: NodeJS.Timeout | undefined

  /** `keep` is the URL whose lanes are used again; those of other databases are closed after each run. */
  constructor(make: (url: string) => Lane, keep: string, max: number) {
    this.#make = make
    this.#keep = keep
    this.#max = max
  }

  /** Runs work on a lane to the database of the URL. */
  async use<T>(url: string, work: (lane: Lane) => Promise<T>): Promise<T> {
    await this.#admit()
    try {
      const lane = this.#take(url)
      try {
        return await work(lane)
      } finally {
        await this.#giveBack(lane)
      }
    } finally {
      this.#open--
      this.#waiting.shift()?.()
      if (this.#open === 0) for (const ended of this.#ending.splice(0)) ended()
    }
  }

  /** Lets the runs under way end, and closes their lanes and the idle ones. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#closeIdle()
    while (this.#open > 0) await new Promise<void>(resolve => this.#ending.push(resolve))
  }

  async #admit(): Promise<void> {
    while (this.#open >= this.#max) await new Promise<void>(resolve => this.#waiting.push(resolve))
    this.#open++
  }

  #take(url: string): Lane {
    if (this.#closed) throw new ConnectionClosedError('migrations')
    return (url === this.#keep ? this.#idle.pop() : undefined) ?? this.#make(url)
  }

  async #giveBack(lane: Lane): Promise<void> {
    const clean = await lane.query('discard all').then(
      () => true,
      () => false,
    )
    if (!clean || this.#closed || lane.url !== this.#keep) {
      await lane.connection.close(true).catch(() => undefined)
      return
    }
    this.#idle.push(lane)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#closeIdle(), IDLE_MS).unref()
  }

  async #closeIdle(): Promise<void> {
    clearTimeout(this.#timer)
    await Promise.all(this.#idle.splice(0).map(lane => lane.connection.close(true).catch(() => undefined)))
  }
}

/** The name of the database in a URL. */
export function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1)) || 'postgres'
}

/**
 * The options of a session: the URL as it is (with its parameters), one client that is never replaced while idle, and an empty search_path,
 * so that a statement outside of a migration's transaction finds no table instead of the wrong one.
 */
export function sessionOptions(url: string): Readonly<Record<string, unknown>> {
  return {
    connectionString: url,
    application_name: 'tenantkit migrations',
    options: '-c search_path=',
    min: 0,
    max: 1,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: CONNECTION_WAIT_MS,
    allowExitOnIdle: true,
  }
}
