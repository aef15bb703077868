/** Guards around the control plane, connections, the registry and the way in. */
import type { Mutant } from './mutant.ts'

const CONTROL = 'connections/control-driver.ts'
const CONNECTION = 'connections/guarded-connection.ts'
const DATABASE = 'strategies/database-strategy.ts'
const CONTEXT = 'context/context.ts'
const TENANCY = 'tenancy.ts'
const RUNS = 'runs.ts'
const MIDDLEWARE = 'http/tenant-middleware.ts'
const DIRECTORY = 'tenants/directory.ts'

export const PLANE_MUTANTS: readonly Mutant[] = [
  { name: 'ControlDriver.getSchemaName', file: CONTROL, find: '    if (isTenantTable(meta))\n', replace: '    if (false)\n' },
  {
    name: 'ControlDriver.createQueryBuilder',
    file: CONTROL,
    find: '    this.getSchemaName(builder.mainAlias.meta)\n',
    replace: '',
  },
  {
    name: 'the sentinel schema',
    file: CONNECTION,
    find: 'if (prepared.query.includes(NO_TENANT_SCHEMA)) throw new NoTenantContextError()',
    replace: '',
  },
  { name: 'GuardedConnection: closed', file: CONNECTION, find: 'if (this.#closed) throw', replace: 'if (false) throw' },
  {
    name: 'GuardedConnection: unqualified names',
    file: CONNECTION,
    find: "if (code === '42P01' && isUnqualified(message ?? '')) {",
    replace: 'if (false) {',
  },
  {
    name: 'the empty search_path',
    file: 'connections/settings.ts',
    find: "...(pooled ? {} : { options: '-c search_path=' }),",
    replace: "options: '-c search_path=public',",
  },
  // What is asked of the server and what proves that it was done cover each other: alone, the proof refuses every connection.
  {
    name: 'the proof of the search_path, and the empty search_path',
    file: 'connections/search-path.ts',
    find: "if (!isEmpty(String(row['search_path']))) throw",
    replace: 'if (false) throw',
    with: ['the empty search_path'],
    finds: 'a shared table: not refused',
  },
  { name: 'the proof of the database', file: 'connections/search-path.ts', find: '    proof?.assert(row)\n', replace: '' },
  {
    name: 'DatabaseStrategy: a pool for each tenant',
    file: DATABASE,
    find: 'connections.acquire(tenant.ref.id, version,',
    replace: "connections.acquire('one', 'one',",
  },
  { name: 'DatabaseStrategy: ending the driver', file: DATABASE, find: '        driver.end()\n', replace: '' },
  { name: 'DatabaseStrategy: giving back', file: DATABASE, find: '        lease.release()\n', replace: '' },
  {
    name: 'DatabaseStrategy: one URL for all',
    file: DATABASE,
    find: 'const cacheKey = `${tenant.ref.id}|${purpose}|${envelope}`',
    replace: 'const cacheKey = purpose',
  },
  {
    name: 'DatabaseStrategy: no connection string',
    file: DATABASE,
    find: '    if (envelope === undefined) {\n',
    replace: "    if (envelope === undefined) return { url: this.#options.controlUrl, version: '' }\n    if (false) {\n",
  },
  { name: 'SchemaStrategy: ending the driver', file: 'strategies/schema-strategy.ts', find: '        driver.end()\n', replace: '' },
  {
    name: 'RuntimeOrm: the URL of the database',
    file: 'strategies/runtime-orm.ts',
    find: 'settingsOf(url, `the connection of tenant ${key}`)',
    replace: 'settingsOf(this.url())',
    also: [
      {
        file: 'strategies/runtime-orm.ts',
        find: '  /** The entities as they were discovered. */\n',
        replace:
          '  private url(): string {\n    const { user, password, host, port, dbName } = this.#orm.config.getAll() as unknown as Record<string, string>\n    return `postgresql://${user}:${password}@${host}:${port}/${dbName}`\n  }\n',
      },
    ],
  },
  {
    name: 'the context: restored after the run',
    file: CONTEXT,
    find: 'return storage.run(Object.freeze(context), work)',
    replace: 'storage.enterWith(Object.freeze(context))\n  return work()',
  },
  {
    name: 'the context: one for the process',
    file: CONTEXT,
    find: 'return storage.run(Object.freeze(context), work)',
    replace: 'last = context\n  return storage.run(Object.freeze(context), work)',
    also: [
      {
        file: CONTEXT,
        find: 'const storage = new AsyncLocalStorage<TenancyContext>()',
        replace: 'let last: TenancyContext | undefined\nconst storage = new AsyncLocalStorage<TenancyContext>()',
      },
      {
        file: CONTEXT,
        find: 'export function currentContext(): TenancyContext | undefined {\n  return storage.getStore()',
        replace: 'export function currentContext(): TenancyContext | undefined {\n  return last',
      },
      { file: CONTEXT, find: 'const active = storage.getStore()?.em', replace: 'const active = last?.em' },
    ],
  },
  {
    name: 'controlEm: who asks',
    file: CONTEXT,
    find: "if (context.control === undefined || (context.actor?.plane !== 'system' && context.actor?.plane !== 'global')) throw new ForbiddenError()",
    replace: '',
    also: [
      { file: CONTEXT, find: '  return context.control()', replace: '  return context.control!()' },
      {
        file: RUNS,
        find: "if (actor === undefined || actor.plane === 'tenant') return undefined",
        replace: 'if (actor === undefined) return undefined',
      },
    ],
  },
  {
    name: 'controlEm: who writes',
    file: RUNS,
    find: "const writes = actor.plane === 'system' || actor.permissions?.has(CONTROL_WRITE_PERMISSION) === true",
    replace: 'const writes = true',
  },
  {
    name: 'inheritedActor',
    file: RUNS,
    find: "return actor?.plane === 'tenant' && from?.id !== to.id ? undefined : actor",
    replace: 'return actor',
  },
  { name: 'Tenancy: ending a run', file: RUNS, find: '      unit.end()\n', replace: '' },
  {
    name: 'Tenancy.runInTenant: the status',
    file: TENANCY,
    find: '    assertServing(tenant.ref.slug, tenant.status)\n    return this.#runs.run',
    replace: '    return this.#runs.run',
  },
  {
    name: 'TenantDirectory.enter: the status',
    file: DIRECTORY,
    find: '    assertServing(record.ref.slug, record.status)\n    return record',
    replace: '    return record',
  },
  {
    name: 'assertServing: suspended',
    file: 'tenants/life.ts',
    find: "if (status === 'suspended') throw new TenantSuspendedError(slug)",
    replace: "if (status === 'suspended') return",
  },
  {
    name: 'assertServing: archived',
    file: 'tenants/life.ts',
    find: "if (status === 'archived' ||",
    replace: "if (status === 'archived') return\n  if (",
  },
  {
    name: 'TenantDirectory: forgetting what has changed',
    file: DIRECTORY,
    find: '      this.#cache.forget(slug)\n      this.#reads.forget(slug)\n',
    replace: '',
  },
  {
    name: 'TenantChanges: other processes',
    file: 'tenants/tenant-changes.ts',
    find: "      await manager.execute('select pg_catalog.pg_notify(?, ?)'",
    replace: "      if (false) await manager.execute('select pg_catalog.pg_notify(?, ?)'",
  },
  {
    name: 'TenantChanges: this process',
    file: 'tenants/tenant-changes.ts',
    find: '    for (const slug of this.#flushed.get(em) ?? []) this.#forget(slug)\n',
    replace: '',
  },
  {
    name: 'visible rows',
    file: 'classification/visibility.ts',
    find: 'if (context?.tenant !== undefined) return { $or: [',
    replace: 'if (context?.tenant !== undefined) return {}\n  if (context?.tenant !== undefined) return { $or: [',
  },
  {
    name: 'SharedReadingDriver: pinning',
    file: 'strategies/shared-reading-driver.ts',
    find: 'pinnedQueryBuilder(this, this.run, args)',
    replace: 'super.createQueryBuilder(...args)',
  },
  { name: 'tenantMiddleware: authorisation', file: MIDDLEWARE, find: 'if (admits !== true) throw', replace: 'if (false) throw' },
  {
    name: "tenantMiddleware: the token's tenant",
    file: MIDDLEWARE,
    find: 'if (!isGlobal) assertTokenTenant(identity.claims, tenant)',
    replace: '',
  },
  {
    name: 'tenantMiddleware: no identity',
    file: MIDDLEWARE,
    find: 'if (slug !== undefined && anonymous) throw',
    replace: 'if (false) throw',
  },
  {
    name: 'tenantMiddleware: the order',
    file: MIDDLEWARE,
    find: 'if (!wasAuthenticated(ctx) && options.anonymous !== true) throw',
    replace: 'if (false) throw',
  },
  {
    name: 'resolveTenant: two answers',
    file: 'resolvers/resolve-tenant.ts',
    find: 'if (found.some(({ slug }) => slug !== found[0]!.slug)) throw',
    replace: 'if (false) throw',
  },
  { name: 'assertTokenTenant: the id', file: 'auth/claims.ts', find: 'claims.tenant_id === tenant?.id &&', replace: 'true &&' },
  {
    name: 'seal: whose secret it is',
    file: 'crypto/seal.ts',
    find: "throw new SecretTamperedError('it was changed, or belongs to another tenant or field')",
    replace: "return bytes.toString('utf8')",
  },
]
