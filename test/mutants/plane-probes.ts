/** Probes around tenants: the control plane, connections, the status of a tenant, the way in over HTTP. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { controlEm, currentActor, currentContext, em, fromHeader, newId, type Actor } from 'mikro-tenantkit'
import { authentication, problems, tenantMiddleware } from 'mikro-tenantkit/koa'
import { query } from '../helpers/postgres.ts'
import { Author, Country, Notice, Tag, ada, operator } from '../helpers/tenancy.ts'
import { stamps } from '../interleaving/data-operations.ts'
import { FORBIDDEN, FOREIGN, NO_CONTEXT, inTenant, must, mustRefuse, until, type Ground, type Probe } from './probe.ts'

/** Reads the control plane and may write nothing. */
const reader: Actor = { ...operator, permissions: new Set(['data:read']) }

export const PLANE_PROBES: Readonly<Record<string, Probe>> = {
  'tenant entities in the control plane': async ({ tenancy, acme }) => {
    await tenancy.runAsSystem('probe', async () => {
      for (const schema of [undefined, acme.schema, 'public', '*']) {
        const options = schema === undefined ? {} : { schema }
        await mustRefuse(NO_CONTEXT, `find in ${schema}`, () => controlEm().find(Tag, {}, options))
        await mustRefuse(NO_CONTEXT, `count in ${schema}`, () => controlEm().count(Tag, {}, options))
        await mustRefuse(NO_CONTEXT, `a builder in ${schema}`, () => controlEm().createQueryBuilder(Tag).withSchema(schema).getResult())
        await mustRefuse(NO_CONTEXT, `insert in ${schema}`, () =>
          controlEm().insert(Tag, { id: newId(), label: 'x', ...stamps() }, options),
        )
      }
      await mustRefuse(NO_CONTEXT, 'a subquery', () => controlEm().createQueryBuilder(Author).getResult())
      await mustRefuse(NO_CONTEXT, 'em()', () => em())
      await mustRefuse(FOREIGN, 'the setter of the schema', () => (controlEm().schema = acme.schema))
      await mustRefuse(NO_CONTEXT, 'a flush', () => {
        const manager = controlEm()
        manager.create(Tag, { label: 'x' })
        return manager.flush()
      })
    })
  },
  'the sentinel schema': async ({ tenancy }) => {
    await tenancy.runAsSystem('probe', () =>
      mustRefuse(NO_CONTEXT, 'SQL that names it', () => controlEm().execute('select * from __no_tenant__.tag')),
    )
  },
  'who may use the control plane': async ground => {
    const { tenancy, acme } = ground
    await mustRefuse(NO_CONTEXT, 'controlEm() outside', () => controlEm())
    await inTenant(ground, acme, () => mustRefuse(FORBIDDEN, 'controlEm() of a tenant’s user', () => controlEm()))
    await tenancy.runAsActor(reader, async () => {
      must((await controlEm().count(Country)) > 0, 'an operator reads nothing')
      const data = { id: newId(), code: 'XX', ...stamps() }
      await mustRefuse(FORBIDDEN, 'a flush', () => {
        const manager = controlEm()
        manager.create(Country, { code: 'XX' })
        return manager.flush()
      })
      await mustRefuse(FORBIDDEN, 'insertMany', () => controlEm().insertMany(Country, [data, { ...data, id: newId() }]))
      // A flush begins a transaction, and is refused the connection before it comes to this.
      await mustRefuse(FORBIDDEN, 'nativeUpdateMany of the driver', () =>
        controlEm()
          .getDriver()
          .nativeUpdateMany(Country, [{ id: newId() }, { id: newId() }], [{ code: 'XX' }, { code: 'YY' }]),
      )
      await mustRefuse(FORBIDDEN, 'native insert', () => controlEm().insert(Country, data))
      await mustRefuse(FORBIDDEN, 'native update', () => controlEm().nativeUpdate(Country, { code: 'none' }, { code: 'XX' }))
      await mustRefuse(FORBIDDEN, 'native delete', () => controlEm().nativeDelete(Country, { code: 'none' }))
      await mustRefuse(FORBIDDEN, 'a builder', () => controlEm().createQueryBuilder(Country).insert(data).execute())
      await mustRefuse(FORBIDDEN, 'a clone', () => controlEm().createQueryBuilder(Country).clone().delete({ code: 'none' }).execute())
      await mustRefuse(FORBIDDEN, 'the connection', () => controlEm().getConnection())
      await mustRefuse(FORBIDDEN, 'SQL', () => controlEm().execute('select 1'))
    })
    const cache: [string, number] = ['notices', 5_000]
    await tenancy.runAsSystem('probe', () => controlEm().find(Notice, {}, { cache }))
    await tenancy.runAsActor(operator, async () => {
      const cached = (await controlEm().find(Notice, {}, { cache })).filter(({ text }) => text !== 'for all')
      must(cached.length === 0, `without a tenant ${cached[0]?.text} is read from the cache of the system`)
      const seen = (await controlEm().find(Notice, {})).filter(({ text }) => text !== 'for all')
      must(seen.length === 0, `without a tenant ${seen[0]?.text} is seen`)
    })
  },
  'the context ends with its run': async ground => {
    const { tenancy, acme, initech } = ground
    await inTenant(ground, acme, () => Promise.resolve())
    must(currentContext() === undefined, 'a context is active after its run')
    await inTenant(ground, acme, async manager => {
      await inTenant(ground, initech, () => Promise.resolve())
      must(em() === manager, 'after a nested run its EntityManager is active still')
      await tenancy.runAsSystem('probe', () => Promise.resolve())
      must(currentContext()?.tenant?.slug === acme.slug, 'after a system run its context is active still')
    })
  },
  'a user acts in the own tenant alone': async ({ tenancy, acme, initech }) => {
    await tenancy.run(
      acme.slug,
      () =>
        tenancy.run(initech.slug, () => {
          must(currentActor() === undefined, `${currentActor()?.id} of ${acme.slug} acts in ${initech.slug}`)
          return Promise.resolve()
        }),
      { actor: ada },
    )
  },
  'a tenant out of service': async ({ tenancy, acme, globex }) => {
    for (const { slug } of [acme, globex]) {
      await tenancy.run(slug, () => Promise.resolve())
      for (const [down, up, code] of [
        [() => tenancy.operate(slug, 'suspend'), 'resume', 'TENANT_SUSPENDED'],
        [() => tenancy.archive(slug), 'restore', 'TENANT_ARCHIVED'],
      ] as const) {
        await tenancy.runAsSystem('probe', async () => void (await down()))
        const found = (await tenancy.find(slug))!
        await mustRefuse(code, 'run', () => tenancy.run(slug, () => Promise.resolve()))
        await mustRefuse(code, 'runInTenant', () => tenancy.runInTenant(found, () => Promise.resolve()))
        await tenancy.runAsSystem('probe', () => tenancy.operate(slug, up))
        await tenancy.run(slug, () => Promise.resolve())
      }
    }
  },
  'the secret of another tenant': async ground => {
    const { world, tenancy, globex, hooli } = ground
    const envelopes = await query<{ id: string; connection_string: string }>(
      world.controlUrl,
      'select id, connection_string from public.tenantkit_tenant where id = any($1)',
      [[globex.id, hooli.id]],
    )
    const ofHooli = envelopes.find(({ id }) => id === hooli.id)!.connection_string
    const record = (await tenancy.find(globex.slug))!
    const moved = { ...record, connectionString: ofHooli }
    await mustRefuse('SECRET_TAMPERED', 'a connection string sealed for another tenant', () =>
      tenancy.runInTenant(moved, () => em().count(Tag)),
    )
    const none = { ...record, connectionString: undefined }
    await mustRefuse('CONFIGURATION_INVALID', 'no connection string', () => tenancy.runInTenant(none, () => em().count(Tag)))
    await inTenant(ground, globex, manager => manager.count(Tag))
  },
  'the database of another tenant': async ground => {
    const { tenancy, globex, hooli } = ground
    // As if the mark of a database said that it is another tenant's, as after a wrong URL.
    const name = decodeURIComponent(new URL(globex.url).pathname.slice(1))
    const mark = async (id: string) => {
      await query(globex.url, `comment on database "${name}" is 'mikro-tenantkit tenant ${id}'`)
      await query(globex.url, `comment on schema tenant is 'mikro-tenantkit tenant ${id}'`)
    }
    const [was] = await query<{ mark: string | null }>(globex.url, `select obj_description('tenant'::regnamespace, 'pg_namespace') as mark`)
    await mark(hooli.id)
    try {
      // Its pool must go first: what is open was asked already.
      await churn(ground)
      await mustRefuse('CONFIGURATION_INVALID', 'a database that bears the mark of another tenant', () =>
        tenancy.run(globex.slug, () => em().count(Tag)),
      )
    } finally {
      await mark(globex.id)
      await query(globex.url, `comment on schema tenant is ${was!.mark === null ? 'null' : `'${was!.mark}'`}`)
    }
    await tenancy.run(globex.slug, () => em().count(Tag))
  },
  'pools under churn': async ground => {
    const { tenancy, world, globex } = ground
    await inTenant(ground, globex, async manager => {
      // Every other database is opened meanwhile; this one is in use and must stay.
      await churn(ground)
      await manager.fork().count(Tag)
    })
    await churn(ground)
    const { databases, leases } = tenancy.stats()
    must(databases.open <= world.slots, `${databases.open} pools are open`)
    must(databases.inUse === 0 && leases === 0, `${databases.inUse} pools and ${leases} runs are in use`)
  },
  'a change in another process': async ({ tenancy, open, acme, globex }) => {
    const other = await open()
    try {
      for (const { slug } of [acme, globex]) {
        await other.run(slug, () => Promise.resolve())
        await until(() => other.stats().directory.listening, 'it listens')
        await other.run(slug, () => Promise.resolve())
        await tenancy.runAsSystem('probe', () => tenancy.operate(slug, 'suspend'))
        const isRefused = () =>
          other
            .run(slug, () => Promise.resolve())
            .then(
              () => false,
              (error: { code?: string }) => error.code === 'TENANT_SUSPENDED',
            )
        await until(isRefused, `${slug} is refused by another process`)
        await tenancy.runAsSystem('probe', () => tenancy.operate(slug, 'resume'))
      }
    } finally {
      await other.close()
    }
  },
  'a tenancy that is closed': async ({ open, acme, globex }) => {
    for (const { slug } of [globex, acme]) {
      const other = await open()
      await other.run(
        slug,
        async () => {
          await em().count(Tag)
          await other.close()
          await mustRefuse('CONNECTION_CLOSED', 'a connection that was closed', () => em().fork().count(Tag))
        },
        { actor: ada },
      )
    }
  },
  'an opening that failed': async ground => {
    const { tenancy, globex } = ground
    const record = (await tenancy.find(globex.slug))!
    await mustRefuse('SECRET_TAMPERED', 'a broken envelope', () =>
      tenancy.runInTenant({ ...record, connectionString: 'broken' }, () => em().count(Tag)),
    )
    await inTenant(ground, globex, manager => manager.count(Tag))
    must(tenancy.stats().databases.inUse === 0, 'a failed opening is in use')
  },
  requests: async ground => {
    const { acme, initech } = ground
    const asUser = (place: Ground['acme']) => ({ plane: 'tenant', tenant_id: place.id, tenant_slug: place.slug })
    await withServer(ground, async call => {
      const expect = async (status: number, what: string, claims: object | undefined, ...tenants: string[]) => {
        const answer = await call(claims, tenants)
        must(answer === status, `${what}: ${answer} instead of ${status}`)
      }
      await expect(200, 'a user in the own tenant', asUser(acme), acme.slug)
      await expect(403, 'a user in another tenant', asUser(acme), initech.slug)
      await expect(403, 'a user of a tenant that had this slug', { ...asUser(acme), tenant_id: newId() }, acme.slug)
      await expect(401, 'nobody', undefined, acme.slug)
      await expect(403, 'an operator who may not enter', { plane: 'global', may: ['data:read'] }, acme.slug)
      await expect(200, 'an operator', { plane: 'global', may: ['tenants:enter'] }, acme.slug)
      await expect(409, 'two tenants', { plane: 'global', may: ['tenants:enter'] }, acme.slug, initech.slug)
    })
    await withServer(ground, async call => must((await call(asUser(acme), [acme.slug])) === 500, 'no authentication before'), false)
  },
}

/** Opens every database once, so that the pool of each has been the one unused longest. */
async function churn(ground: Ground): Promise<void> {
  const databases = ground.world.places.filter(({ isolation }) => isolation === 'database')
  for (const place of databases.filter(({ slug }) => slug !== ground.globex.slug))
    await inTenant(ground, place, manager => manager.count(Tag))
}

type Call = (claims: object | undefined, tenants: readonly string[]) => Promise<number>

/** A Koa application whose tokens are their claims. */
async function withServer({ tenancy }: Ground, work: (call: Call) => Promise<void>, authenticates = true): Promise<void> {
  const app = new Koa()
  app.silent = true
  app.use(problems())
  if (authenticates) {
    app.use(
      authentication({
        verify: async token => {
          const claims = JSON.parse(Buffer.from(token, 'base64url').toString()) as { plane: 'tenant' | 'global'; may?: string[] }
          return { actor: { plane: claims.plane, id: 'x', label: 'x', permissions: new Set(claims.may ?? []) }, claims: claims as never }
        },
      }),
    )
  }
  app.use(
    tenantMiddleware(tenancy, {
      resolvers: [fromHeader('x-tenant'), { name: 'second', resolve: evidence => one(evidence.header('x-second')) }],
    }),
  )
  app.use(async ctx => {
    ctx.body = String(await em().count(Tag))
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    await work(async (claims, [tenant, second]) => {
      const headers = new Headers()
      if (claims !== undefined) headers.set('authorization', `Bearer ${Buffer.from(JSON.stringify(claims)).toString('base64url')}`)
      if (tenant !== undefined) headers.set('x-tenant', tenant)
      if (second !== undefined) headers.set('x-second', second)
      const response = await fetch(`http://127.0.0.1:${port}/`, { headers })
      await response.text()
      return response.status
    })
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const one = (value: string | readonly string[] | null | undefined): string | undefined =>
  typeof value === 'string' ? value : (value?.[0] ?? undefined)
