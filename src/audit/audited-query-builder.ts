/**
 * A query builder that writes under the actor's name: inserts and updates carry the audit fields, a delete is a soft one.
 *
 * It applies no filter, as MikroORM's own; what it cannot attribute it refuses.
 */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import { raw } from '@mikro-orm/postgresql'
import { BaseQueryBuilder, type QueryBuilderInternals, type QueryResult } from '../connections/internals.ts'
import { SqlRefusedError } from '../errors.ts'
import { attribute, attributeLate, isAttributed, stampNow, type Row } from './attribution.ts'
import { AUDIT_FIELDS, DELETED_WITH, inheritsAudit, isAudited } from './audit-fields.ts'
import { bulkWrite, type BulkAction } from './bulk-write.ts'
import { refuseLayered } from './layered.ts'
import { hasDependents } from './soft-deletion.ts'

const MERGED = ['updatedAt', 'updatedBy']
let copying = false

/** Lets `insertFrom` through, which the driver itself uses to copy rows, while `work` begins. */
export function whileCopying<Result>(work: () => Result): Result {
  copying = true
  try {
    return work()
  } finally {
    copying = false
  }
}

export class AuditedQueryBuilder extends BaseQueryBuilder {
  /** What a builder of the application does; one that the driver fills is recorded where it is filled. */
  declare action: BulkAction | undefined
  declare inserted: readonly string[] | undefined
  declare livesOnly: boolean | undefined

  override insert(data?: unknown): unknown {
    if (!this.isAudited()) return super.insert(data)
    const rows = (Array.isArray(data) ? data : [data]) as Row[]
    if (!rows.every(isAttributed)) this.action = 'create'
    const attributed = rows.map(row => this.attributed(row, 'create'))
    this.inserted = Object.keys(attributed[0] ?? {})
    return super.insert(Array.isArray(data) ? attributed : attributed[0])
  }

  override update(data?: unknown): unknown {
    // MikroORM itself gives back what it was given, to put joins into a subquery.
    if (!this.isAudited() || (data !== undefined && data === this.state.data)) return super.update(data)
    if (!isAttributed(data as Row)) this.action = 'update'
    return super.update(this.attributed(data as Row, 'update'))
  }

  /** @throws SQL_REFUSED where other rows would have to go along. */
  override delete(condition?: unknown): unknown {
    if (!this.isAudited()) return super.delete(condition)
    const { meta } = this.mainAlias
    if (hasDependents(this.driver, meta))
      throw new SqlRefusedError(
        `The delete of a query builder over ${meta.className}, whose rows take others along,`,
        'Use em().nativeDelete(entity, where) or em().remove(entity): they know the relations.',
      )
    const row: Row = {}
    attribute(row, 'delete', stampNow(this.context))
    this.action = 'delete'
    this.livesOnly = true
    const builder = super.update(row)
    if (condition !== undefined) this.where(condition as object)
    return builder
  }

  /** @throws SQL_REFUSED */
  override truncate(): unknown {
    if (!this.isAudited()) return super.truncate()
    throw new SqlRefusedError(
      `truncate() of the audited entity ${this.mainAlias.meta.className}`,
      'Delete rows softly, then purge(…) them.',
    )
  }

  /** @throws SQL_REFUSED */
  override insertFrom(...args: unknown[]): unknown {
    if (!this.isAudited() || copying) return super.insertFrom(...args)
    throw new SqlRefusedError(
      `insertFrom() into the audited entity ${this.mainAlias.meta.className}`,
      'Its rows would bear the names and times of others. Use em().clone(…), or select first and em().insertMany(…).',
    )
  }

  /** PostgreSQL finds a partial index by its condition alone. */
  override onConflict(fields?: unknown): unknown {
    const predicate = this.isAudited() ? livePredicate(this, fields) : undefined
    return super.onConflict(predicate ?? fields)
  }

  /** An existing row keeps who created it, and says who changed it. */
  override merge(data?: unknown): unknown {
    if (!this.isAudited()) return super.merge(data)
    if (Array.isArray(data)) return super.merge(data.length === 0 ? data : merged(data as string[]))
    if (data === undefined) return super.merge(merged(this.inserted ?? []))
    return super.merge(this.attributed({ ...(data as Row) }, 'update'))
  }

  override getNativeQuery(...args: unknown[]): unknown {
    this.leaveDeleted()
    return super.getNativeQuery(...args)
  }

  override toQuery(): ReturnType<QueryBuilderInternals['toQuery']> {
    this.leaveDeleted()
    return super.toQuery()
  }

  override execute(...args: unknown[]): Promise<QueryResult> {
    const { action } = this
    if (action === undefined) return super.execute(...args)
    const { driver, context: transaction } = this
    return bulkWrite({ driver, meta: this.mainAlias.meta, action, transaction }, own => this.executeIn(own, args))
  }

  override clone(...args: unknown[]): QueryBuilderInternals {
    const { action, inserted, livesOnly } = this
    const clone = Object.setPrototypeOf(super.clone(...args), Object.getPrototypeOf(this) as object) as AuditedQueryBuilder
    return Object.assign(clone, args[0] === true ? {} : { action, inserted, livesOnly })
  }

  /** The builder may be executed again, in another transaction or none. */
  private async executeIn(transaction: unknown, args: unknown[]): Promise<QueryResult> {
    const { context } = this
    this.context = transaction
    try {
      return await super.execute(...args)
    } finally {
      this.context = context
    }
  }

  private isAudited(): boolean {
    const meta = this.mainAlias?.meta
    // The application's own: the builders with which the driver fills a flush have no manager.
    if (this.em !== undefined) refuseLayered(meta, 'A write of a query builder')
    return isAudited(meta) && !inheritsAudit(meta)
  }

  private attributed(row: Row, kind: 'create' | 'update'): Row {
    // An entity, or what the caller keeps: not to be changed.
    const own = isAttributed(row) ? row : { ...row }
    attributeLate(own, kind, this.context)
    return own
  }

  private leaveDeleted(): void {
    if (this.livesOnly !== true) return
    this.livesOnly = false
    this.andWhere({ deletedAt: null })
  }
}

function merged(fields: readonly string[]): string[] {
  const others = fields.filter(field => !(AUDIT_FIELDS as readonly string[]).includes(field) && field !== DELETED_WITH)
  return [...others, ...MERGED]
}

/** The conflict target of a unique constraint among live rows, if these properties have one. */
function livePredicate(builder: AuditedQueryBuilder, fields: unknown): unknown {
  const { meta } = builder.mainAlias
  const names = (Array.isArray(fields) ? fields : [fields]) as unknown[]
  const unique = meta.uniques.find(({ properties, where }) => where !== undefined && isSame(properties as string | string[], names))
  if (unique === undefined) return undefined
  const columns = names.map(name => builder.driver.getPlatform().quoteIdentifier(columnOf(meta, String(name))))
  const condition = typeof unique.where === 'string' ? unique.where : builder.driver.renderPartialIndexWhere(meta.class, unique.where)
  return raw(`(${columns.join(', ')}) where ${condition}`)
}

function isSame(properties: string | readonly string[], names: readonly unknown[]): boolean {
  const own = typeof properties === 'string' ? [properties] : properties
  return own.length === names.length && own.every(property => names.includes(property))
}

function columnOf(meta: EntityMetadata, property: string): string {
  return meta.properties[property]?.fieldNames[0] ?? property
}
