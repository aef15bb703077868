/**
 * Whether the tenants' tables, and the control plane's, are still what the migrations made: the catalog of each is compared with a freshly migrated reference at the
 * version that the tenant itself has recorded. Nothing is changed.
 *
 * Schema tenants are read in batches, each in a session of its own: a session keeps what it has read of the catalog, and would grow with
 * the number of tenants.
 */
import type { EntityManager } from '@mikro-orm/postgresql'
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
import type { Isolation } from '../context/context.ts'
import { TenantNotFoundError } from '../errors.ts'
import { differencesOf, fingerprintsOf, objectsOf, type ObjectDifference } from '../migrations/fingerprint.ts'
import type { Migrations } from '../migrations/migrations.ts'
import type { Reference } from '../migrations/reference.ts'
import { TRACKING_TABLE, type MigrationTarget } from '../migrations/runner.ts'
import { SHARED_SCHEMA, parseIdentifier, quoteIdentifier, quoteLiteral } from '../naming.ts'
import type { TenantMigration } from '../provisioning/tenant-migration.ts'
import { reasonOf } from '../provisioning/steps.ts'
import { recordOf, type TenantRow } from '../tenants/directory.ts'
import { Tenant } from '../tenants/entities.ts'
import { sharedDrift, standOf, type SharedDrift } from './shared-drift.ts'

/** What became of the comparison of one tenant. */
export interface TenantDrift {
  readonly tenant: string
  readonly isolation: Isolation
  /** `same`, `drifted`, or `failed` if it could not be compared. */
  readonly status: 'same' | 'drifted' | 'failed'
  /** The last migration that the tenant has recorded, which it was compared at. */
  readonly version: string | null
  readonly differences: readonly ObjectDifference[]
  readonly error?: string
}

/** What `tenancy.drift` is told. */
export interface DriftOptions {
  /** Only these tenants, by slug. Default: all that are ready or suspended. */
  readonly tenants?: readonly string[] | undefined
  /** Is told how many there are, before the first. */
  readonly total?: ((tenants: number) => void) | undefined
  /** Is told of each tenant when it was compared. */
  readonly compared?: ((tenant: TenantDrift) => void) | undefined
}

/** What `tenancy.drift` found. Tenants that are as they should be are counted only. */
export interface DriftReport {
  readonly compared: number
  readonly same: number
  /** Tenants that differ, or could not be compared. */
  readonly tenants: readonly TenantDrift[]
  /** Tenants that are not at the last migration; they were compared at theirs. */
  readonly behind: number
  /** The control plane; absent where tenants were named. */
  readonly shared?: SharedDrift
}

export interface DriftContext {
  readonly control: () => EntityManager
  readonly migrations: Migrations
  readonly tenantMigration: TenantMigration
  readonly directUrl: string
}

/** Tenants in one query. */
const BATCH = 100
/** Databases looked into at once. */
const DATABASES_AT_ONCE = 4
const SERVING = ['ready', 'suspended'] as const
/** An object that was dropped while the catalog was read: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const CHANGED_MEANWHILE: readonly unknown[] = ['XX000', '42P01', '42704']

interface Candidate {
  readonly target: MigrationTarget
  /** What the registry says; the tenant itself knows better. */
  readonly version: string | null
  /** Whether the whole database is the framework's, so that its schema `public` must be empty. */
  readonly whole: boolean
}

export class DriftSearch {
  readonly #context: DriftContext

  constructor(context: DriftContext) {
    this.#context = context
  }

  /** @throws TENANT_NOT_FOUND */
  async run({ tenants, total, compared }: DriftOptions): Promise<DriftReport> {
    const where = { status: { $in: [...SERVING] }, ...(tenants === undefined ? {} : { slug: { $in: [...tenants] } }) }
    const count = await this.#context.control().count(Tenant, where)
    if (tenants !== undefined && count < new Set(tenants).size) await this.#refuseUnknown(tenants)
    total?.(count)
    const head = (await this.#context.migrations.head('tenant')) ?? null
    const shared = tenants === undefined ? { shared: await sharedDrift(this.#context) } : {}
    const odd: TenantDrift[] = []
    let [seen, behind] = [0, 0]
    for await (const page of this.#pages(where)) {
      await this.#compare(page, found => {
        seen++
        if (found.version !== head) behind++
        if (found.status !== 'same') odd.push(found)
        compared?.(found)
      })
    }
    return { compared: seen, same: seen - odd.length, behind, ...shared, tenants: odd.toSorted((a, b) => (a.tenant < b.tenant ? -1 : 1)) }
  }

  /** By slug, a batch at a time, so that memory does not grow with the number of tenants. */
  async *#pages(where: object): AsyncGenerator<readonly TenantRow[]> {
    for (let after = ''; ;) {
      const rows = await this.#context
        .control()
        .find(Tenant, { $and: [where, { slug: { $gt: after } }] } as never, { orderBy: { slug: 'asc' }, limit: BATCH })
      if (rows.length > 0) yield rows
      if (rows.length < BATCH) return
      after = rows.at(-1)!.slug
    }
  }

  #candidate(row: TenantRow): Candidate {
    const record = recordOf(row)
    return {
      target: this.#context.tenantMigration.target(record),
      version: row.schemaVersion ?? null,
      whole: record.ref.isolation === 'database' && record.provisioning === 'auto',
    }
  }

  async #compare(rows: readonly TenantRow[], done: (found: TenantDrift) => void): Promise<void> {
    const page: Candidate[] = []
    for (const row of rows) {
      try {
        page.push(this.#candidate(row))
      } catch (error) {
        // A secret that does not open: this tenant cannot be reached, the others can.
        done(unreached(row, reasonOf(error)))
      }
    }
    const schemas = page.filter(({ target }) => target.isolation === 'schema')
    const databases = page.filter(({ target }) => target.isolation === 'database').values()
    if (schemas.length > 0) for (const found of await this.#compareIn(this.#context.directUrl, schemas)) done(found)
    const worker = async () => {
      for (const candidate of databases) for (const found of await this.#compareIn(candidate.target.url, [candidate])) done(found)
    }
    await Promise.all(Array.from({ length: DATABASES_AT_ONCE }, worker))
  }

  /** Tenants of one database. */
  async #compareIn(url: string, candidates: readonly Candidate[]): Promise<readonly TenantDrift[]> {
    const read = () => withDirectClient(url, client => this.#read(client, url, candidates))
    try {
      return await read().catch((error: unknown) => {
        if (CHANGED_MEANWHILE.includes((error as { code?: unknown }).code)) return read()
        throw error
      })
    } catch (error) {
      return candidates.map(candidate => outcome(candidate, [], reasonOf(error)))
    }
  }

  async #read(client: DirectClient, url: string, candidates: readonly Candidate[]): Promise<readonly TenantDrift[]> {
    const fingerprints = await fingerprintsOf(
      client,
      candidates.map(({ target }) => target.schema),
    )
    const applied = await appliedIn(client, [...fingerprints.keys()])
    const names = await this.#context.migrations.names('tenant')
    const found: TenantDrift[] = []
    for (const registered of candidates) {
      let candidate = registered
      try {
        const { schema } = registered.target
        const actual = fingerprints.get(schema)
        if (actual === undefined) throw new Error(`the schema "${schema}" does not exist`)
        const { version, skipped } = standOf('tenant', names, applied.get(schema) ?? [])
        candidate = { ...registered, version }
        const reference = await this.#reference(client, url, candidate)
        const differences = actual === reference.fingerprint ? [] : await differencesIn(client, candidate, reference)
        found.push(outcome(candidate, [...skipped, ...differences, ...(candidate.whole ? await strayIn(client) : [])]))
      } catch (error) {
        found.push(outcome(candidate, [], reasonOf(error)))
      }
    }
    return found
  }

  /** Servers of other versions write definitions in other words: the reference is made on the server that is compared. */
  async #reference(client: DirectClient, url: string, { target, version }: Candidate): Promise<Reference> {
    const { migrations } = this.#context
    if (target.isolation === 'schema') return migrations.reference('schema', version)
    const { rows } = await client.query<{ major: number }>(`select pg_catalog.current_setting('server_version_num')::int / 10000 as major`)
    return migrations.reference('database', version, { url, major: rows[0]!.major })
  }

  async #refuseUnknown(tenants: readonly string[]): Promise<void> {
    const rows = await this.#context
      .control()
      .find(Tenant, { status: { $in: [...SERVING] }, slug: { $in: [...tenants] } }, { fields: ['slug'] })
    const known = new Set(rows.map(({ slug }) => slug))
    throw new TenantNotFoundError(tenants.find(slug => !known.has(slug))!)
  }
}

/** What each schema has recorded as applied. One without the table has nothing. */
async function appliedIn(client: DirectClient, schemas: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const places = schemas.map(schema => ({
    schema,
    table: `${quoteIdentifier(parseIdentifier(schema))}.${quoteIdentifier(TRACKING_TABLE)}`,
  }))
  const { rows: present } = await client.query<{ place: string }>(
    'select p.place from pg_catalog.unnest($1::text[]) p (place) where pg_catalog.to_regclass(p.place) is not null',
    [places.map(({ table }) => table)],
  )
  const there = new Set(present.map(({ place }) => place))
  const selects = places
    .filter(({ table }) => there.has(table))
    .map(({ schema, table }) => `select ${quoteLiteral(schema)} as schema, pg_catalog.array_agg(name::text) as names from ${table}`)
  if (selects.length === 0) return new Map()
  const { rows } = await client.query<{ schema: string; names: readonly string[] | null }>(selects.join(' union all '))
  return new Map(rows.map(({ schema, names }) => [schema, names ?? []]))
}

async function differencesIn(client: DirectClient, { target }: Candidate, reference: Reference): Promise<readonly ObjectDifference[]> {
  const objects = (await objectsOf(client, [target.schema])).get(target.schema)
  return objects === undefined ? [] : differencesOf(reference.objects, objects)
}

/** What stands in `public` of a tenant's own database, where nothing should. */
async function strayIn(client: DirectClient): Promise<readonly ObjectDifference[]> {
  const objects = (await objectsOf(client, [SHARED_SCHEMA])).get(SHARED_SCHEMA) ?? new Map<string, string>()
  return differencesOf(new Map(), objects).map(each => ({ ...each, object: `${each.object} in the schema "${SHARED_SCHEMA}"` }))
}

function unreached({ slug, isolationMode, schemaVersion }: TenantRow, error: string): TenantDrift {
  return { tenant: slug, isolation: isolationMode, status: 'failed', version: schemaVersion ?? null, differences: [], error }
}

function outcome({ target, version }: Candidate, differences: readonly ObjectDifference[], error?: string): TenantDrift {
  const status = error !== undefined ? 'failed' : differences.length > 0 ? 'drifted' : 'same'
  return { tenant: target.key, isolation: target.isolation, status, version, differences, ...(error === undefined ? {} : { error }) }
}
