/** The SQL of deleting and restoring many rows at once: names are quoted by the platform, values are parameters. */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import type { DriverInternals } from '../connections/internals.ts'
import { DELETED_WITH } from './audit-fields.ts'
import { dependenciesOf, type AllMetadata, type Dependency } from './policies.ts'

/** A key of one column. */
export type Key = string | number | bigint

/** SQL with its parameters. */
export interface Fragment {
  readonly sql: string
  readonly params: readonly unknown[]
}

/** Rows that go together: some by their keys, and what was deleted with them in any table. */
export interface Group {
  readonly meta: EntityMetadata
  readonly keys: readonly Key[]
}

/** Names and conditions of one plane, as its driver spells them. */
export class Rows {
  readonly driver: DriverInternals
  readonly metadata: AllMetadata

  constructor(driver: DriverInternals) {
    this.driver = driver
    this.metadata = driver.getMetadata() as AllMetadata
  }

  table(meta: EntityMetadata): string {
    return this.driver.getTableName(meta, { schema: this.driver.getSchemaName(meta) })
  }

  column(meta: EntityMetadata, property: string): string {
    return this.quote(meta.properties[property]!.fieldNames[0]!)
  }

  key(meta: EntityMetadata): string {
    return this.column(meta, meta.primaryKeys[0]!)
  }

  quote(name: string): string {
    return this.driver.getPlatform().quoteIdentifier(name)
  }

  /** Whether rows of an entity can have gone with others. */
  canFollow(meta: EntityMetadata): boolean {
    return DELETED_WITH in meta.properties
  }

  /** The entities that deleting one takes along, directly or by others; itself only if it refers to itself. */
  followers(meta: EntityMetadata): readonly EntityMetadata[] {
    const found = new Set<EntityMetadata>()
    const queue = [meta]
    for (const each of queue)
      for (const { child } of this.cascades(each)) {
        if (found.has(child)) continue
        found.add(child)
        queue.push(child)
      }
    return [...found]
  }

  cascades(meta: EntityMetadata): readonly Dependency[] {
    return dependenciesOf(this.metadata, meta).filter(({ policy }) => policy === 'cascade')
  }

  /** The condition for rows of an entity, as `alias`, that belong to groups: named by their keys, or deleted with one that is. */
  inGroups(meta: EntityMetadata, alias: string, groups: readonly Group[]): Fragment {
    const named = groups.filter(group => (group.meta.root ?? group.meta) === (meta.root ?? meta)).flatMap(({ keys }) => keys)
    const conditions: Fragment[] = []
    if (named.length > 0) conditions.push(isIn(`${alias}.${this.key(meta)}`, named))
    if (this.canFollow(meta)) conditions.push(isIn(`${alias}.${this.column(meta, DELETED_WITH)}`, groups.flatMap(groupNames)))
    if (conditions.length === 0) return { sql: 'false', params: [] }
    return { sql: `(${conditions.map(({ sql }) => sql).join(' or ')})`, params: conditions.flatMap(({ params }) => params) }
  }

  async run(fragment: Fragment, transaction: unknown): Promise<{ affectedRows: number; rows: readonly Record<string, unknown>[] }> {
    return (await this.driver.execute(fragment.sql, fragment.params, 'run', transaction)) as never
  }

  async first(fragment: Fragment, transaction: unknown): Promise<Record<string, unknown> | undefined> {
    const rows = (await this.driver.execute(`${fragment.sql} limit 1`, fragment.params, 'all', transaction)) as Record<string, unknown>[]
    return rows[0]
  }

  /** `version = version + 1` for an entity that counts its changes. */
  versionStep(meta: EntityMetadata, alias = ''): string {
    const name = meta.versionProperty as string | undefined
    if (name === undefined) return ''
    const column = this.column(meta, name)
    return meta.properties[name]!.runtimeType === 'Date' ? `, ${column} = now()` : `, ${column} = ${alias}${column} + 1`
  }
}

/** How a deleted row is named in what was deleted with it. */
export function rowName(meta: EntityMetadata, key: Key): string {
  return `${(meta.root ?? meta).className}:${String(key)}`
}

export function groupNames({ meta, keys }: Group): string[] {
  return keys.map(key => rowName(meta, key))
}

export function isIn(column: string, values: readonly unknown[]): Fragment {
  if (values.length === 0) return { sql: 'false', params: [] }
  return { sql: `${column} in (${values.map(() => '?').join(', ')})`, params: values }
}
