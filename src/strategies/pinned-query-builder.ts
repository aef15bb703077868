/**
 * Fixes a query builder to one tenant's run: its own schema, its own joins, its own time.
 *
 * What a builder becomes in SQL, alone or inside another builder, goes through `getNativeQuery` or `toQuery`; there it is looked at last.
 */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import { CONTROL_ONLY, SCOPE, VISIBLE_TO, marksOf, planeOf } from '../classification/scope.ts'
import { visibleRows } from '../classification/visibility.ts'
import type { QueryBuilderInternals } from '../connections/internals.ts'
import type { TenantRef } from '../context/context.ts'
import { CrossDatabaseQueryError, CrossTenantEntityError } from '../errors.ts'
import { SHARED_SCHEMA } from '../naming.ts'

/** The run that a builder belongs to. */
export interface PinnedTo {
  readonly tenant: TenantRef
  assertActive(): void
}

/** Pins a builder, and every clone of it; over a shared table it can only read. */
export function pinQueryBuilder(builder: QueryBuilderInternals, run: PinnedTo): QueryBuilderInternals {
  const { meta } = builder.mainAlias
  const plane = planeOf(meta)
  refuseUnreadable(meta)
  const schema = plane === 'tenant' ? run.tenant.schema : meta.schema!
  const withSchema = builder.withSchema.bind(builder)
  const clone = builder.clone.bind(builder)
  const from = builder.from.bind(builder)
  withSchema(schema)
  builder.withSchema = (asked?: string) => {
    if (plane === 'tenant') refuseOtherSchema(asked, run.tenant)
    else if (asked != null && asked !== schema) refuseSharedSchema(meta.className, asked)
    return withSchema(schema)
  }
  builder.clone = (...args) => pinQueryBuilder(clone(...args), run)
  builder.from = (...args) => {
    const result = from(...args)
    if (planeOf(builder.mainAlias.meta) !== plane) refuseSharedSchema(builder.mainAlias.meta.className, schema)
    return result
  }
  if (plane === 'shared') {
    const refuse = () => refuseSharedWrite(meta.className, run.tenant.slug)
    Object.assign(builder, { insert: refuse, update: refuse, delete: refuse, truncate: refuse })
  }
  guardCompilation(builder, run)
  return builder
}

/** A builder of another run is refused even inside this one's query, and so is a join that left the run's schema. */
function guardCompilation(builder: QueryBuilderInternals, run: PinnedTo): void {
  const getNativeQuery = builder.getNativeQuery.bind(builder)
  const toQuery = builder.toQuery.bind(builder)
  const visibleTo = marksOf(builder.mainAlias.meta)[VISIBLE_TO]
  let narrowed = visibleTo === undefined
  const check = () => {
    run.assertActive()
    if (narrowed) return
    narrowed = true
    // Not left to the filter: a query builder applies none, and a call can switch filters off.
    builder.andWhere(visibleRows(visibleTo!))
  }
  builder.getNativeQuery = (...args) => {
    check()
    const query = getNativeQuery(...args)
    for (const join of Object.values(builder.state.joins)) assertOwnJoin(join, run.tenant, builder.mainAlias.meta)
    return query
  }
  builder.toQuery = () => {
    check()
    return toQuery()
  }
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
