/**
 * Tells every process that a tenant has changed: a notification within the transaction that changes the row, so that PostgreSQL sends it
 * when that transaction commits, and never when it is rolled back.
 */
import type { ChangeSet, EntityManager, EventSubscriber } from '@mikro-orm/postgresql'
import { isSlug } from '../naming.ts'
import type { TenantRow } from './directory.ts'
import { Tenant } from './entities.ts'

/** The channel of the control plane's database. */
export const TENANT_CHANNEL = 'tenantkit_tenant'

/** The fields of a row that a record is made from: only a change of these is worth telling. */
export const RECORDED = [
  'id',
  'slug',
  'name',
  'isolationMode',
  'schemaName',
  'status',
  'provisioningMode',
  'connectionAlias',
  'connectionString',
  'provisioningConnectionString',
  'schemaVersion',
  'migratingUntil',
] as const satisfies readonly (keyof TenantRow)[]

interface Change {
  readonly entity: Partial<TenantRow>
  readonly em: unknown
  readonly changeSet?: Pick<ChangeSet<TenantRow>, 'payload' | 'originalEntity'> | undefined
}

export class TenantChanges implements EventSubscriber<TenantRow> {
  readonly #forget: (slug: string) => void
  readonly #flushed = new WeakMap<object, Set<string>>()

  /** `forget` is for this process, which does not wait for its own notification. */
  constructor(forget: (slug: string) => void) {
    this.#forget = forget
  }

  getSubscribedEntities(): (typeof Tenant)[] {
    return [Tenant]
  }

  afterCreate(change: Change): Promise<void> {
    return this.#tell(change)
  }

  afterUpdate(change: Change): Promise<void> {
    return this.#tell(change)
  }

  afterUpsert(change: Change): Promise<void> {
    return this.#tell(change)
  }

  afterDelete(change: Change): Promise<void> {
    return this.#tell(change)
  }

  /** The flush has committed, unless it is part of a longer transaction: then the notification comes when that one commits. */
  afterFlush({ em }: { readonly em: object }): Promise<void> {
    for (const slug of this.#flushed.get(em) ?? []) this.#forget(slug)
    this.#flushed.delete(em)
    return Promise.resolve()
  }

  async #tell({ entity, em, changeSet }: Change): Promise<void> {
    if (changeSet !== undefined && !RECORDED.some(field => field in changeSet.payload)) return
    const manager = em as EntityManager
    const flushed = this.#flushed.get(manager) ?? new Set<string>()
    this.#flushed.set(manager, flushed)
    // A slug is fixed after creation; should an application change one all the same, both are told.
    const slugs = new Set([entity.slug, (changeSet?.originalEntity?.slug ?? entity.slug) as string | undefined])
    for (const slug of slugs) {
      if (slug !== undefined) flushed.add(slug)
      await manager.execute('select pg_catalog.pg_notify(?, ?)', [TENANT_CHANNEL, JSON.stringify({ id: entity.id, slug })], 'run')
    }
  }
}

/** The slug that a notification is about; `undefined` when it does not say. */
export function changedSlug(payload: string): string | undefined {
  try {
    const { slug } = JSON.parse(payload) as { slug?: unknown }
    return isSlug(slug) ? slug : undefined
  } catch {
    return undefined
  }
}
