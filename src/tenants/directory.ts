/** The one door from an identifier to a tenant. */
import type { EntityManager, InferEntity } from '@mikro-orm/postgresql'
import type { TenantRef } from '../context/context.ts'
import { TenantNotFoundError } from '../errors.ts'
import { TENANT_SCHEMA, isSlug, parseSlug } from '../naming.ts'
import { Tenant, type TenantStatus } from './entities.ts'
import { assertServing } from './life.ts'

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
}

/** The record of a row. */
export function recordOf(row: TenantRow): TenantRecord {
  return Object.freeze({
    ref: Object.freeze({
      id: row.id,
      slug: row.slug,
      name: row.name,
      isolation: row.isolationMode,
      schema: row.isolationMode === 'schema' ? row.schemaName! : TENANT_SCHEMA,
    }),
    status: row.status,
    provisioning: row.provisioningMode,
    connectionAlias: row.connectionAlias ?? undefined,
    connectionString: row.connectionString ?? undefined,
    provisioningConnectionString: row.provisioningConnectionString ?? undefined,
    schemaVersion: row.schemaVersion ?? undefined,
  })
}

export class TenantDirectory {
  readonly #control: () => EntityManager

  constructor(control: () => EntityManager) {
    this.#control = control
  }

  /** The tenant of a slug: the one that is not purged, else the newest purged one. Not found or not a slug is `undefined`. */
  async find(identifier: string): Promise<TenantRecord | undefined> {
    const row = await this.row(identifier)
    return row === undefined ? undefined : recordOf(row)
  }

  /**
   * The tenant of a slug, if it serves.
   *
   * @throws TENANT_INVALID, TENANT_NOT_FOUND, TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED
   */
  async enter(identifier: string): Promise<TenantRecord> {
    const record = await this.find(parseSlug(identifier))
    if (record === undefined) throw new TenantNotFoundError(identifier)
    assertServing(record.ref.slug, record.status)
    return record
  }

  /** The row itself, for the registry's own operations. */
  async row(identifier: string, em: EntityManager = this.#control()): Promise<TenantRow | undefined> {
    if (!isSlug(identifier)) return undefined
    const rows = await em.find(Tenant, { slug: identifier }, { filters: false, orderBy: { createdAt: 'desc', id: 'desc' } })
    return rows.find(row => row.status !== 'purged') ?? rows[0]
  }
}
