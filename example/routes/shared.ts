/** What all tenants share, to read. */
import Router from '@koa/router'
import type { EntityManager } from '@mikro-orm/postgresql'
import { controlEm, em } from 'mikro-tenantkit'
import { pageOf, pageRequest, pageWhere, requireIdentity, stateOf } from 'mikro-tenantkit/koa'
import type { Context } from 'koa'
import { Announcement, Plan } from '../entities/shared.ts'

/** `GET /api/plans`, `GET /api/announcements` */
export function sharedRoutes(): Router {
  const router = new Router({ prefix: '/api' })

  router.get('/plans', requireIdentity(), async ctx => {
    const page = pageRequest(ctx.query)
    const rows = await reading(ctx).find(Plan, pageWhere(page), { orderBy: { id: 'asc' }, limit: page.limit + 1 })
    ctx.body = pageOf(rows, page, ({ id, code, name, pricePerMonth }) => ({ id, code, name, price_per_month: pricePerMonth }))
  })

  router.get('/announcements', requireIdentity(), async ctx => {
    const page = pageRequest(ctx.query)
    const rows = await reading(ctx).find(Announcement, pageWhere(page), { orderBy: { id: 'asc' }, limit: page.limit + 1 })
    ctx.body = pageOf(rows, page, ({ id, title, body, createdAt }) => ({ id, title, body, created_at: createdAt }))
  })
  return router
}

/** A tenant reads shared rows through its own EntityManager, which shows what it may see. */
function reading(ctx: Context): EntityManager {
  return stateOf(ctx).tenant === undefined ? controlEm() : em()
}
