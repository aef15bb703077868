/**
 * The guard of a flush: before any SQL, every entity that would be written, and every entity it refers to, must belong to the unit of work.
 *
 * Entities are stamped with their tenant when they come to life. A stamp outlives `em.clear()`, serialisation aside, and tells two tenants
 * apart that have databases of their own, where the schemas are named alike.
 */
import {
  EntitySchema,
  helper,
  type ChangeSet,
  type Collection,
  type EntityManager,
  type EntityMetadata,
  type EventArgs,
  type EventSubscriber,
  type FlushEventArgs,
} from '@mikro-orm/postgresql'
import { planeOf } from '../classification/scope.ts'
import { CrossTenantEntityError, NoTenantContextError, ValidationFailedError, type FieldError } from '../errors.ts'
import { refuseOtherSchema, refuseSharedWrite } from './pinned-query-builder.ts'
import { tenantDriverOf, type TenantDriver } from './tenant-driver.ts'

const STAMP = Symbol('tenant')

/** What MikroORM hangs on an entity; the stamp stands there, where no property of the entity can be mistaken for it. */
interface Stamped {
  readonly __helper?: { [STAMP]?: string }
}

/** The tenant an entity belongs to, by id, once it came to life in one. */
export function stampOf(entity: object): string | undefined {
  return (entity as Stamped).__helper?.[STAMP]
}

function stamp(entity: object, tenantId: string): void {
  const carrier = (entity as Stamped).__helper
  if (carrier !== undefined) carrier[STAMP] = tenantId
}

export class TenantGuard implements EventSubscriber {
  onInit({ entity, em, meta }: EventArgs<object>): void {
    if (planeOf(meta as EntityMetadata) === 'shared') return
    const driver = tenantDriverOf(em as EntityManager)
    if (driver !== undefined && stampOf(entity) === undefined) stamp(entity, driver.tenant.id)
  }

  async onFlush({ uow, em }: FlushEventArgs): Promise<void> {
    const driver = tenantDriverOf(em as EntityManager)
    driver?.assertActive()
    for (const changeSet of uow.getChangeSets()) {
      assertOwn(changeSet.entity, changeSet.meta, driver)
      for (const target of relationTargets(changeSet)) assertReferable(target, driver, changeSet.meta.className)
    }
    for (const collection of uow.getCollectionUpdates() as readonly Collection<object>[]) {
      assertOwn(collection.owner, helper(collection.owner).__meta as EntityMetadata, driver)
      for (const item of collection.getItems(false)) assertReferable(item, driver, collection.property.name)
    }
    if (driver?.tenant.isolation === 'database') await assertSharedReferences(uow.getChangeSets(), driver)
  }
}

function assertOwn(entity: object, meta: EntityMetadata, driver: TenantDriver | undefined): void {
  if (planeOf(meta) === 'shared') {
    if (driver !== undefined) refuseSharedWrite(meta.className, driver.tenant.slug)
    return
  }
  if (driver === undefined) {
    throw new NoTenantContextError(`${meta.className} is a tenant entity, and this unit of work belongs to the control plane.`)
  }
  // Refused when its SQL is made as well, but then a transaction is open already.
  refuseOtherSchema(helper(entity).__schema, driver.tenant)
  const owner = stampOf(entity)
  if (owner === undefined) stamp(entity, driver.tenant.id)
  else if (owner !== driver.tenant.id) throw foreign(meta.className, driver, 'would be written')
}

function assertReferable(entity: object, driver: TenantDriver | undefined, from: string): void {
  const meta = helper(entity).__meta as EntityMetadata
  if (planeOf(meta) === 'shared') return
  if (driver === undefined)
    throw new CrossTenantEntityError(`${from} in the control plane would refer to the tenant entity ${meta.className}.`)
  const owner = stampOf(entity)
  if (owner !== undefined && owner !== driver.tenant.id) throw foreign(meta.className, driver, `would be referred to by ${from}`)
}

/**
 * Refuses entities of another tenant among arguments: themselves, in a list, and as the values of their relations.
 *
 * @throws CROSS_TENANT_ENTITY
 */
export function assertNoForeign(values: readonly unknown[], driver: TenantDriver, depth = 2): void {
  for (const value of values) {
    if (typeof value !== 'object' || value === null || value instanceof Date || value instanceof EntitySchema) continue
    const owner = stampOf('unwrap' in value && typeof value.unwrap === 'function' ? (value.unwrap() as object) : value)
    if (owner !== undefined && owner !== driver.tenant.id) throw foreign('', driver, 'would be written')
    if (depth > 0) assertNoForeign(Object.values(value), driver, depth - 1)
  }
}

/**
 * Refuses an entity of another tenant: itself, its reference, or one in a list.
 *
 * @throws CROSS_TENANT_ENTITY
 */
export function assertOwnEntities(given: unknown, driver: TenantDriver): void {
  if (typeof given !== 'object' || given === null) return
  if (Symbol.iterator in given) for (const one of given as Iterable<unknown>) assertOwnEntities(one, driver)
  else assertNoForeign([given], driver, 0)
}

function foreign(entity: string, driver: TenantDriver, what: string): CrossTenantEntityError {
  return new CrossTenantEntityError(`An entity ${entity} of another tenant ${what} in tenant "${driver.tenant.slug}". Nothing was written.`)
}

/** The to-one relations that a change set writes, unwrapped. */
function* relationTargets(changeSet: ChangeSet<object>): Generator<object> {
  for (const property of changeSet.meta.relations) {
    if (property.kind !== 'm:1' && property.kind !== '1:1') continue
    const value = (changeSet.entity as Record<string, unknown>)[property.name]
    if (typeof value !== 'object' || value === null) continue
    const target = 'unwrap' in value && typeof value.unwrap === 'function' ? (value.unwrap() as object) : value
    if (helper(target) !== undefined) yield target
  }
}

/** In a database of its own a tenant has no foreign key to shared tables: the ids are looked up, one query for each entity referred to. */
async function assertSharedReferences(changeSets: readonly ChangeSet<object>[], driver: TenantDriver): Promise<void> {
  const wanted = new Map<EntityMetadata, Map<string, string>>()
  for (const changeSet of changeSets) {
    for (const property of changeSet.meta.relations) {
      const target = property.targetMeta as EntityMetadata | undefined
      const id: unknown = (changeSet.payload as Record<string, unknown>)[property.name]
      if (
        target === undefined ||
        planeOf(target) !== 'shared' ||
        (typeof id !== 'string' && typeof id !== 'number' && typeof id !== 'bigint')
      )
        continue
      const ids = wanted.get(target) ?? new Map<string, string>()
      wanted.set(target, ids.set(String(id), property.name))
    }
  }
  const errors: FieldError[] = []
  for (const [target, ids] of wanted) {
    const key = target.primaryKeys[0]!
    const rows = (await driver.shared.find(target.class, { [key]: { $in: [...ids.keys()] } }, { fields: [key] } as never)) as Record<
      string,
      unknown
    >[]
    const found = new Set(rows.map(row => String(row[key])))
    for (const [id, path] of ids) if (!found.has(id)) errors.push({ path, message: `refers to a ${target.className} that does not exist` })
  }
  if (errors.length > 0) throw new ValidationFailedError(errors)
}
