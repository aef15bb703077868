/** The one door from an identifier to a tenant. */
import type { EntityManager, InferEntity } from '@mikro-orm/postgresql'
import { Listener } from '../connections/listener.ts'
import { bindContext, type TenantRef } from '../context/context.ts'
import { TenantNotFoundError } from '../errors.ts'
import { TENANT_SCHEMA, isSlug, parseSlug } from '../naming.ts'
import { BatchedReads } from './batched-reads.ts'
import { DirectoryCache, type DirectoryCacheOptions } from './directory-cache.ts'
import { Tenant, type TenantStatus } from './entities.ts'
import { assertServing } from './life.ts'
import { RECORDED, TENANT_CHANNEL, TenantChanges, changedSlug } from './tenant-changes.ts'

/** A row of the registry. */
export type TenantRow = InferEntity<typeof Tenant>

/** What the directory knows of a tenant: no entity, and its secrets sealed. */
export interface TenantRecord {
  readonly ref: TenantRef
  readonly status: TenantStatus
  readonly provisioning: 'auto' | 'manual'
  readonly connectionAlias: string | undefined
  /** Sealed. */
  readonly connectionString: string | undefined
  /** Sealed. */
  readonly provisioningConnectionString: string | undefined
  readonly schemaVersion: string | undefined
  /** Until when it does not serve because it is being migrated, in milliseconds since 1970. */
  readonly migratingUntil: number | undefined
  /** Whether it is not in force: a connection string that is tried before it is stored. */
  readonly trial?: boolean
}

/** The record of a row. */
export function recordOf(row: Pick<TenantRow, (typeof RECORDED)[number]>): TenantRecord {
  return Object.freeze({
    ref: Object.freeze({
      id: row.id,
      slug: row.slug,
      name: row.name,
      isolation: once(row.isolationMode),
      schema: row.isolationMode === 'schema' ? row.schemaName! : TENANT_SCHEMA,
    }),
    status: once(row.status),
    provisioning: once(row.provisioningMode),
    connectionAlias: row.connectionAlias ?? undefined,
    connectionString: row.connectionString ?? undefined,
    provisioningConnectionString: row.provisioningConnectionString ?? undefined,
    schemaVersion: row.schemaVersion == null ? undefined : once(row.schemaVersion),
    migratingUntil: row.migratingUntil?.getTime(),
  })
}

/** Few texts, each of which the driver makes anew for each row: thousands of records share one. */
const ONCE = new Map<string, string>()

function once<T extends string>(text: T): T {
  const known = ONCE.get(text) as T | undefined
  if (known === undefined && ONCE.size < 100) ONCE.set(text, text)
  return known ?? text
}

/** What a directory is made from. */
export interface TenantDirectoryOptions extends DirectoryCacheOptions {
  /** A new EntityManager of the control plane. */
  readonly control: () => EntityManager
  /** Where changes are heard. */
  readonly directUrl: string
  /** Told of each slug whose tenant has changed, and of `undefined` when any may have. */
  readonly changed?: (slug: string | undefined) => void
}

/** What the directory remembers, and how often that was enough. */
export interface DirectoryStatistics {
  /** Look-ups that asked the database nothing. */
  readonly hits: number
  readonly misses: number
  /** Tenants in memory. */
  readonly entries: number
  /** Slugs in memory that no tenant has. */
  readonly unknown: number
  /** Whether changes made by other processes are heard now. */
  readonly listening: boolean
}

const NEWEST_FIRST = { createdAt: 'desc', id: 'desc' } as const
/** How long a tenant is trusted while changes are not heard. */
const UNHEARD_MS = 1_000

export class TenantDirectory {
  readonly #options: TenantDirectoryOptions
  readonly #cache: DirectoryCache<TenantRecord>
  readonly #reads: BatchedReads<TenantRecord>
  readonly #listener: Listener
  readonly #listen: () => void
  #hits = 0
  #misses = 0

  /** @throws CONFIGURATION_INVALID */
  constructor(options: TenantDirectoryOptions) {
    this.#options = options
    this.#cache = new DirectoryCache(options)
    this.#reads = new BatchedReads({
      ask: slugs => this.#ask(slugs),
      keep: (slug, record, askedAt) => this.#cache.put(slug, record, askedAt),
      // Bound here: what outlives a request must not run in its context, and keep it in memory.
      detached: bindContext((work: () => void) => work()),
    })
    this.#listener = new Listener({
      url: options.directUrl,
      channel: TENANT_CHANNEL,
      heard: payload => this.forget(changedSlug(payload)),
      // What changed while nobody listened is not known.
      connected: () => this.forget(undefined),
    })
    this.#listen = bindContext(() => this.#listener.start())
    const changes = new TenantChanges(slug => this.forget(slug))
    options.control().getEventManager().registerSubscriber(changes)
  }

  /** The tenant of a slug: the one that is not purged, else the newest purged one. Not found or not a slug is `undefined`. */
  async find(identifier: string): Promise<TenantRecord | undefined> {
    if (!isSlug(identifier)) return undefined
    if (this.#options.ttlMs === 0) {
      this.#misses++
      return (await this.#ask([identifier])).get(identifier)
    }
    const { listening } = this.#listener
    if (!listening) this.#listen()
    const remembered = this.#cache.get(identifier, performance.now(), listening ? Infinity : UNHEARD_MS)
    if (remembered !== undefined) {
      this.#hits++
      return remembered.value
    }
    this.#misses++
    return this.#reads.read(identifier)
  }

  /**
   * The tenant of a slug, if it serves.
   *
   * @throws TENANT_INVALID, TENANT_NOT_FOUND, TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED
   */
  async enter(identifier: string): Promise<TenantRecord> {
    const record = await this.find(parseSlug(identifier))
    if (record === undefined) throw new TenantNotFoundError(identifier)
    assertServing(record.ref.slug, record.status, record.migratingUntil)
    return record
  }

  /** The row itself, for the registry's own operations: always from the database. */
  async row(identifier: string, em: EntityManager = this.#options.control()): Promise<TenantRow | undefined> {
    if (!isSlug(identifier)) return undefined
    const rows = await em.find(Tenant, { slug: identifier }, { filters: false, orderBy: NEWEST_FIRST })
    return rows.find(row => row.status !== 'purged') ?? rows[0]
  }

  /** A tenant has changed; `undefined`: anyone may have. */
  forget(slug: string | undefined): void {
    if (slug === undefined) {
      this.#cache.clear()
      this.#reads.clear()
    } else {
      this.#cache.forget(slug)
      this.#reads.forget(slug)
    }
    this.#options.changed?.(slug)
  }

  statistics(): DirectoryStatistics {
    return { hits: this.#hits, misses: this.#misses, ...this.#cache.sizes(), listening: this.#listener.listening }
  }

  /** Listens no more. */
  async close(): Promise<void> {
    await this.#listener.close()
  }

  async #ask(slugs: readonly string[]): Promise<ReadonlyMap<string, TenantRecord>> {
    const slug = { $in: [...slugs] }
    // Each half has an index: that of the slugs leaves out what is purged.
    const where = {
      $or: [
        { slug, status: { $ne: 'purged' as const } },
        { slug, status: 'purged' as const },
      ],
    }
    const rows = await this.#options.control().find(Tenant, where, { filters: false, fields: [...RECORDED], orderBy: NEWEST_FIRST })
    const records = new Map<string, TenantRecord>()
    for (const row of rows) if (row.status !== 'purged' || !records.has(row.slug)) records.set(row.slug, recordOf(row))
    return records
  }
}
