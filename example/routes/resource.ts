/** The routes that customers, products and invoices have alike: list, get, post, patch, delete (soft) and restore. */
import Router from '@koa/router'
import type { EntityName, FilterQuery, FindOptions } from '@mikro-orm/postgresql'
import type { Context } from 'koa'
import { NotFoundError, em, restore, withDeleted } from 'mikro-tenantkit'
import { jsonBody, pageOf, pageRequest, pageWhere, requireIdentity, requirePermissions, requireTenant, stateOf } from 'mikro-tenantkit/koa'
import { isUuid } from '../accounts.ts'

/** What every row has. */
export interface Row {
  id: string
  createdAt: Date
  createdBy: string
  updatedAt: Date
  updatedBy: string
  deletedAt?: Date | null | undefined
  deletedBy?: string | null | undefined
}

/** What differs between resources. */
export interface Resource<T extends Row> {
  readonly path: string
  readonly what: string
  readonly entity: EntityName<T>
  /** Makes a row; it is flushed afterwards. */
  create(body: unknown): Promise<T>
  /** Changes a row; it is flushed afterwards. */
  update(row: T, body: unknown): Promise<void>
  /** The answer; all rows at once, so that relations are one query. */
  toJson(rows: readonly T[]): Promise<readonly object[]>
}

/** The routes of a resource. */
export function resourceRoutes<T extends Row>(resource: Resource<T>): Router {
  const { entity, what } = resource
  const router = new Router({ prefix: resource.path })
  const one = async (row: T): Promise<object | undefined> => (await resource.toJson([row]))[0]
  const find = async (ctx: Context, options: Pick<FindOptions<T>, 'filters'> = {}): Promise<T> => {
    const id: unknown = ctx['params']['id']
    const row = isUuid(id) ? await em().findOne(entity, { id } as FilterQuery<T>, options as never) : null
    if (row === null) throw new NotFoundError(what)
    return row as T
  }
  router.use(requireIdentity(), requireTenant())

  router.get('/', requirePermissions('data:read'), async ctx => {
    const page = pageRequest(ctx.query)
    const rows = (await em().find(
      entity,
      pageWhere(page) as FilterQuery<T>,
      { orderBy: { id: 'asc' }, limit: page.limit + 1 } as never,
    )) as T[]
    const { items, next_cursor } = pageOf(rows, page, row => row)
    ctx.body = { items: await resource.toJson(items), next_cursor }
  })

  router.get('/:id', requirePermissions('data:read'), async ctx => {
    ctx.body = await one(await find(ctx))
  })

  router.post('/', requirePermissions('data:write'), jsonBody(), async ctx => {
    const row = await resource.create(stateOf(ctx).body)
    await em().flush()
    ctx.status = 201
    ctx.set('Location', `${resource.path}/${row.id}`)
    ctx.body = await one(row)
  })

  router.patch('/:id', requirePermissions('data:write'), jsonBody(), async ctx => {
    const row = await find(ctx)
    await resource.update(row, stateOf(ctx).body)
    await em().flush()
    ctx.body = await one(row)
  })

  router.delete('/:id', requirePermissions('data:delete'), async ctx => {
    const row = await find(ctx)
    await em().remove(row).flush()
    em().clear()
    ctx.body = await one(await find(ctx, EVEN_DELETED))
  })

  router.post('/:id/restore', requirePermissions('data:restore'), async ctx => {
    const row = await find(ctx, EVEN_DELETED)
    await restore(em(), row)
    ctx.body = await one(row)
  })
  return router
}

const EVEN_DELETED = withDeleted()

/** The six audit fields as JSON. */
export function auditJson(row: Row): object {
  return {
    created_at: row.createdAt,
    created_by: row.createdBy,
    updated_at: row.updatedAt,
    updated_by: row.updatedBy,
    deleted_at: row.deletedAt ?? null,
    deleted_by: row.deletedBy ?? null,
  }
}
