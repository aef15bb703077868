/** The REST control plane: tenants and what is done to them. It holds no rule; `Tenancy` does. */
import Router from '@koa/router'
import type { Context } from 'koa'
import { z } from 'zod'
import type { Permission } from '../auth/permissions.ts'
import { parseSlug } from '../naming.ts'
import type { Slug } from '../naming.ts'
import type { Tenancy } from '../tenancy.ts'
import { bodyOf, compact, jsonBody } from './body.ts'
import { checkPermissions, globalIdentityOf } from './guards.ts'
import { limitOf, queryValue } from './paging.ts'
import { stateOf } from './state.ts'

const admin = z.strictObject({ email: z.email().max(254), password: z.string().min(8).max(200) })
const metadata = z.record(z.string(), z.unknown())
const secret = z.string().min(1).max(2000)

const provisionBody = z.strictObject({
  slug: z.string(),
  name: z.string().trim().min(1).max(150),
  isolation_mode: z.enum(['schema', 'database']),
  provisioning_mode: z.enum(['auto', 'manual']).optional(),
  schema_name: z.string().optional(),
  connection_alias: z.string().optional(),
  connection_string: secret.optional(),
  provisioning_connection_string: secret.optional(),
  metadata: metadata.optional(),
  admin: admin.optional(),
})

const updateBody = z.strictObject({
  name: z.string().trim().min(1).max(150).optional(),
  metadata: metadata.optional(),
  connection_string: secret.optional(),
  provisioning_connection_string: secret.optional(),
})

const operationBody = z.strictObject({ operation: z.string(), confirm: z.string().optional(), admin: admin.optional() })

/**
 * The router of `/api/tenants`. Every route needs a global actor with the permission.
 *
 * Mount it after `authentication()`, before `tenantMiddleware()`: it is about tenants, not inside one.
 *
 * @example app.use(controlPlane(tenancy).routes())
 */
export function controlPlane(tenancy: Tenancy): Router {
  const router = new Router({ prefix: '/api/tenants' })

  router.get('/', ctx =>
    acting(tenancy, ctx, 'tenants:read', async () => {
      const given = (name: string): string | undefined => queryValue(ctx.query, name)
      const filters = { cursor: given('cursor'), status: given('status'), isolation_mode: given('isolation_mode'), search: given('search') }
      ctx.body = await tenancy.listTenants({ limit: limitOf(ctx.query), ...compact(filters) })
    }),
  )

  router.post('/', guard('tenants:write'), jsonBody(), ctx =>
    acting(tenancy, ctx, 'tenants:write', async () => {
      const body = bodyOf(ctx, provisionBody)
      const { slug, name, isolation_mode: isolation, metadata: facts, admin: first } = body
      const optional = compact({
        provisioning: body.provisioning_mode,
        schemaName: body.schema_name,
        connectionAlias: body.connection_alias,
        connectionString: body.connection_string,
        provisioningConnectionString: body.provisioning_connection_string,
        metadata: facts,
        admin: first,
      })
      const tenant = await tenancy.provision({ slug, name, isolation, ...optional })
      ctx.status = 201
      ctx.set('Location', `/api/tenants/${slug}`)
      ctx.body = tenant
    }),
  )

  router.get('/:slug', ctx =>
    acting(tenancy, ctx, 'tenants:read', async () => {
      ctx.body = await tenancy.showTenant(slugOf(ctx))
    }),
  )

  router.patch('/:slug', guard('tenants:write'), jsonBody(), ctx =>
    acting(tenancy, ctx, 'tenants:write', async () => {
      const slug = slugOf(ctx)
      const { name, metadata: facts, connection_string, provisioning_connection_string } = bodyOf(ctx, updateBody)
      const secrets = { connectionString: connection_string, provisioningConnectionString: provisioning_connection_string }
      ctx.body = await tenancy.updateTenant(slug, compact({ name, metadata: facts, ...secrets }))
    }),
  )

  router.delete('/:slug', ctx =>
    acting(tenancy, ctx, 'tenants:write', async () => {
      ctx.body = await tenancy.archive(slugOf(ctx))
    }),
  )

  router.post('/:slug/operations', guard(), jsonBody(), ctx => {
    // Which permission it takes stands in the body, and is asked before anything else of it is looked at.
    const { operation: asked } = stateOf(ctx).body as { readonly operation?: unknown }
    return acting(tenancy, ctx, asked === 'purge' ? 'tenants:purge' : 'operations:run', async () => {
      const slug = slugOf(ctx)
      const { operation, confirm, admin: first } = bodyOf(ctx, operationBody)
      ctx.body = await tenancy.operate(slug, operation, compact({ confirm, admin: first }))
    })
  })
  return router
}

/** Who may not come in need not be heard: this stands before the body is read. */
function guard(...permissions: readonly Permission[]) {
  return async (ctx: Context, next: () => Promise<unknown>): Promise<void> => {
    checkPermissions(globalIdentityOf(ctx), ...permissions)
    await next()
  }
}

async function acting(tenancy: Tenancy, ctx: Context, permission: Permission, work: () => Promise<void>): Promise<void> {
  const identity = globalIdentityOf(ctx)
  checkPermissions(identity, permission)
  const { requestId } = stateOf(ctx)
  await tenancy.runAsActor(identity.actor, work, requestId === undefined ? {} : { requestId })
  ctx.set('Cache-Control', 'no-store')
}

function slugOf(ctx: Context): Slug {
  return parseSlug((ctx['params'] as Record<string, unknown>)['slug'])
}
