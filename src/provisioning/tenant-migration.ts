/** Migrating one tenant: its tables, what its isolation needs besides, and what the registry says of it. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
import type { Isolation } from '../context/context.ts'
import type { Migrations } from '../migrations/migrations.ts'
import type { MigrationTarget, Selection } from '../migrations/runner.ts'
import type { IsolationStrategy } from '../strategies/isolation-strategy.ts'
import { recordOf, type TenantRecord, type TenantRow } from '../tenants/directory.ts'
import type { CreatedResource } from '../tenants/entities.ts'
import { MigratingMarks } from './migrating-mark.ts'
import { changeTenant, tenantById, type RowChange } from './store.ts'

export interface TenantMigrationOptions {
  /** A new EntityManager of the control plane. */
  readonly control: () => EntityManager
  readonly migrations: Migrations
  readonly strategies: Readonly<Record<Isolation, IsolationStrategy>>
  readonly directUrl: string
  /** Told of a tenant that has changed. */
  readonly changed: (slug: string) => void
}

/** Where a tenant stands that has all migrations. */
export interface SchemaHead {
  readonly schemaVersion: string | null
  readonly schemaFingerprint: string
}

export class TenantMigration {
  readonly #options: TenantMigrationOptions

  constructor(options: TenantMigrationOptions) {
    this.#options = options
  }

  /** Where a tenant's migrations run. */
  target(record: TenantRecord): MigrationTarget {
    const place = this.#options.strategies[record.ref.isolation].migrationPlace(record)
    return { key: record.ref.slug, scope: 'tenant', isolation: record.ref.isolation, schema: place.schema, url: place.url }
  }

  /** What the registry says of a tenant that has all migrations. */
  async head(isolation: Isolation): Promise<SchemaHead> {
    const { migrations } = this.#options
    const [head, { fingerprint }] = [await migrations.head('tenant'), await migrations.preparedScript(isolation)]
    return { schemaVersion: head ?? null, schemaFingerprint: fingerprint }
  }

  /** Applies what is pending and answers the names. Whoever calls it holds the tenant's lock. */
  async up(row: TenantRow, selection: Selection = {}): Promise<readonly string[]> {
    const target = this.target(recordOf(row))
    const pending = await this.#options.migrations.pending(target)
    return this.#marked(row, await this.#isOnline(target, pending), async () => {
      const names = await this.apply(recordOf(row), selection)
      return { names, change: await this.#standing(target) }
    })
  }

  /** Reverts the last migration, or those of the selection. Whoever calls it holds the tenant's lock. */
  async down(row: TenantRow, selection: Selection): Promise<readonly string[]> {
    const target = this.target(recordOf(row))
    return this.#marked(row, false, async () => {
      const names = await this.#options.migrations.down(target, selection)
      return { names, change: names.length === 0 ? {} : await this.#standing(target) }
    })
  }

  /** Brings tables and rights up to date, and nothing else. */
  async apply(record: TenantRecord, selection: Selection = {}): Promise<readonly string[]> {
    const names = await this.#options.migrations.up(this.target(record), selection)
    await this.repair(record, names.length > 0)
    return names
  }

  /** Makes what the tenant lacks of what its isolation needs; `migrated` says whether its tables have just changed. */
  async repair(record: TenantRecord, migrated: boolean): Promise<void> {
    const created = async (made: CreatedResource) => {
      const { createdResources } = await tenantById(this.#options.control(), record.ref.id)
      await changeTenant(this.#options.control(), record.ref.id, { createdResources: [...createdResources, made] })
    }
    await this.#options.strategies[record.ref.isolation].repair?.(record, migrated, created)
  }

  /** What the registry is to say of a tenant, by what is recorded there. One that is ahead of this program is at a head unknown here. */
  async #standing(target: MigrationTarget): Promise<RowChange> {
    const { migrations } = this.#options
    const names = await migrations.names('tenant')
    const recorded = new Set((await migrations.executed(target)).map(({ name }) => name))
    if ([...recorded].some(name => !names.includes(name))) return {}
    if (names.every(name => recorded.has(name))) return this.head(target.isolation)
    return { schemaVersion: names.findLast(name => recorded.has(name)) ?? null, schemaFingerprint: null }
  }

  async #isOnline(target: MigrationTarget, pending: readonly string[]): Promise<boolean> {
    const collected = await this.#options.migrations.collected('tenant', target.isolation)
    return pending.every(name => collected.find(each => each.name === name)?.online === true)
  }

  /** The tenant is refused to requests meanwhile, unless it goes on online. */
  async #marked(
    row: TenantRow,
    online: boolean,
    work: () => Promise<{ readonly names: readonly string[]; readonly change: RowChange }>,
  ): Promise<readonly string[]> {
    const store = async (change: RowChange) => {
      const differs = Object.entries(change).some(([key, value]) => (row[key as keyof TenantRow] ?? null) !== value)
      if (differs) await changeTenant(this.#options.control(), row.id, change)
    }
    if (online) {
      const { names, change } = await work()
      await store(change)
      return names
    }
    const { directUrl, changed } = this.#options
    // Borrowed for each statement only: what is done meanwhile may need the connection.
    const client: DirectClient = { query: (sql, parameters) => withDirectClient(directUrl, direct => direct.query(sql, parameters)) }
    const marks = new MigratingMarks(client, changed)
    try {
      await marks.put([row])
      const { names, change } = await work()
      await store(change)
      return names
    } finally {
      await marks.clear()
    }
  }
}
