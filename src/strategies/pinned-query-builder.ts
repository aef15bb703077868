/**
 * Fixes a query builder to one tenant's run: its own schema, its own joins, its own time.
 *
 * What a builder becomes in SQL, alone or inside another builder, goes through `getNativeQuery` or `toQuery`; there it is looked at last.
 */
import { QueryFlag, type EntityMetadata } from '@mikro-orm/postgresql'
import { AuditedQueryBuilder } from '../audit/audited-query-builder.ts'
import { CONTROL_ONLY, SCOPE, VISIBLE_TO, marksOf, planeOf, type Plane } from '../classification/scope.ts'
import { visibleRows } from '../classification/visibility.ts'
import type { DriverInternals, QueryBuilderInternals } from '../connections/internals.ts'
import type { TenantRef } from '../context/context.ts'
import { CrossDatabaseQueryError, CrossTenantEntityError, HistoryAppendOnlyError } from '../errors.ts'
import { isAuditEvent } from '../history/audit-event.ts'
import { SHARED_SCHEMA } from '../naming.ts'

/** The run that a builder belongs to. */
export interface PinnedTo {
  readonly tenant: TenantRef
  assertActive(): void
}

/** The arguments of a driver's `createQueryBuilder`. */
export type BuilderArguments = Parameters<DriverInternals['createQueryBuilder']>

/** A class of its own instead of methods replaced on each builder: every request makes one, and builders of one shape are fast. */
class PinnedQueryBuilder extends AuditedQueryBuilder {
  declare run: PinnedTo
  declare plane: Plane
  declare ownSchema: string
  /** Whether rows that other tenants alone may see are left out already. */
  declare narrowed: boolean

  pin(run: PinnedTo): this {
    const { meta } = this.mainAlias
    refuseUnreadable(meta)
    this.run = run
    this.plane = planeOf(meta)
    this.ownSchema = this.plane === 'tenant' ? run.tenant.schema : meta.schema!
    this.narrowed = marksOf(meta)[VISIBLE_TO] === undefined
    super.withSchema(this.ownSchema)
    return this
  }

  override withSchema(asked?: string): QueryBuilderInternals {
    if (this.plane === 'tenant') refuseOtherSchema(asked, this.run.tenant)
    else if (asked != null && asked !== this.ownSchema) refuseSharedSchema(this.mainAlias.meta.className, asked)
    return super.withSchema(this.ownSchema)
  }

  override clone(...args: unknown[]): QueryBuilderInternals {
    return (super.clone(...args) as PinnedQueryBuilder).pin(this.run)
  }

  /** Called by the constructor too, before there is a run. */
  override from(...args: unknown[]): unknown {
    const result = super.from(...args)
    if (this.run !== undefined && planeOf(this.mainAlias.meta) !== this.plane)
      refuseSharedSchema(this.mainAlias.meta.className, this.ownSchema)
    return result
  }

  override insert(given?: unknown): unknown {
    this.assertWritable()
    return super.insert(given)
  }

  override update(given?: unknown): unknown {
    this.assertWritable()
    return super.update(given)
  }

  override delete(given?: unknown): unknown {
    this.assertWritable()
    return super.delete(given)
  }

  override truncate(): unknown {
    this.assertWritable()
    return super.truncate()
  }

  override insertFrom(...args: unknown[]): unknown {
    this.assertWritable()
    return super.insertFrom(...args)
  }

  override getNativeQuery(...args: unknown[]): unknown {
    this.assertOwn()
    const query = super.getNativeQuery(...args)
    for (const join of Object.values(this.state.joins)) assertOwnJoin(join, this.run.tenant, this.mainAlias.meta)
    return query
  }

  override toQuery(): ReturnType<QueryBuilderInternals['toQuery']> {
    this.assertOwn()
    return super.toQuery()
  }

  private assertWritable(): void {
    // Before anyone asks who acts.
    this.run.assertActive()
    if (this.plane === 'shared') refuseSharedWrite(this.mainAlias.meta.className, this.run.tenant.slug)
    if (isAuditEvent(this.mainAlias.meta)) throw new HistoryAppendOnlyError()
  }

  /** A builder of another run is refused even inside this one's query. */
  private assertOwn(): void {
    this.run.assertActive()
    if (this.narrowed) return
    this.narrowed = true
    // Not left to the filter: a query builder applies none, and a call can switch filters off.
    this.andWhere(visibleRows(marksOf(this.mainAlias.meta)[VISIBLE_TO]!))
  }
}

/** A builder pinned to a run, and so are its clones; over a shared table it can only read. */
export function pinnedQueryBuilder(
  driver: DriverInternals,
  run: PinnedTo,
  [entityName, transaction, type, convertCustomTypes, loggerContext, alias, em]: BuilderArguments,
): QueryBuilderInternals {
  // With an EntityManager the builder finds its connection type itself, later.
  const connectionType = em === undefined ? driver.resolveConnectionType({ ctx: transaction, connectionType: type }) : type
  const builder = new PinnedQueryBuilder(entityName, driver.metadata, driver, transaction, alias, connectionType, em, loggerContext)
  if (convertCustomTypes !== true) builder.unsetFlag(QueryFlag.CONVERT_CUSTOM_TYPES)
  return builder.pin(run)
}

type Join = QueryBuilderInternals['state']['joins'][string]

function assertOwnJoin({ prop, schema }: Join, tenant: TenantRef, main: EntityMetadata): void {
  if (prop.targetMeta !== undefined) refuseUnreadable(prop.targetMeta)
  if (planeOf(main) === 'shared' && schema === SHARED_SCHEMA) return
  if (schema === SHARED_SCHEMA && (prop.targetMeta === undefined || planeOf(prop.targetMeta) === 'shared')) {
    // Shared tables stand in another database than this tenant's: PostgreSQL would fail, and here it says why.
    if (tenant.isolation === 'database') throw new CrossDatabaseQueryError(prop.targetMeta?.className ?? prop.name)
    return
  }
  refuseOtherSchema(schema, tenant)
}

/** @throws CROSS_TENANT_ENTITY */
export function refuseOtherSchema(schema: string | null | undefined, tenant: TenantRef): void {
  if (schema != null && schema !== '*' && schema !== tenant.schema) {
    throw new CrossTenantEntityError(
      `The schema ${JSON.stringify(schema)} was asked for in tenant "${tenant.slug}", whose schema is "${tenant.schema}".`,
      'Drop the schema option: the EntityManager knows its tenant. To work in another tenant, open a run there: tenancy.run(slug, work).',
    )
  }
}

/** @throws CROSS_TENANT_ENTITY */
export function refuseSharedWrite(entity: string, slug: string): never {
  throw new CrossTenantEntityError(
    `${entity} is a shared entity, and tenant "${slug}" is active: a tenant reads it and never writes it.`,
    'Write it through controlEm(), under tenancy.runAsSystem(name, work) or as a global actor with the permission.',
  )
}

function refuseSharedSchema(entity: string, schema: string): never {
  throw new CrossTenantEntityError(
    `${entity} does not stand in the schema ${JSON.stringify(schema)}.`,
    'Drop the schema: it follows from the entity.',
  )
}

/**
 * The control plane's half of a both entity (its users, for one) and the registry are not a tenant's to read.
 *
 * @throws CROSS_TENANT_ENTITY
 */
function refuseUnreadable(meta: EntityMetadata): void {
  if (planeOf(meta) === 'tenant') return
  const marks = marksOf(meta)
  if (marks[SCOPE] !== 'both' && marks[CONTROL_ONLY] !== true) return
  throw new CrossTenantEntityError(
    `${meta.className} belongs to the control plane alone, and a tenant is active.`,
    'Use the tenant half of a both entity here; the control plane is reached by controlEm() under runAsSystem or as a global actor.',
  )
}
