/** Guards around a tenant's data: the driver, the EntityManager, query builders, entities. */
import type { Mutant } from './mutant.ts'

const DRIVER = 'strategies/tenant-driver.ts'
const MANAGER = 'strategies/tenant-entity-manager.ts'
const BUILDER = 'strategies/pinned-query-builder.ts'
const GUARD = 'strategies/tenant-guard.ts'
const READING = 'strategies/reading-control-driver.ts'

export const TENANT_MUTANTS: readonly Mutant[] = [
  {
    name: 'TenantDriver.assertActive',
    file: DRIVER,
    find: '  assertActive(): void {\n',
    replace: '  assertActive(): void {\n    if (1) return\n',
  },
  { name: 'TenantDriver.assertActive: the end', file: DRIVER, find: '    if (this.ended) {', replace: '    if (false) {' },
  {
    name: 'TenantDriver.assertActive: no tenant',
    file: DRIVER,
    find: '    if (active === undefined) {',
    replace: '    if (active === undefined) return\n    if (false) {',
  },
  { name: 'TenantDriver.assertActive: another tenant', file: DRIVER, find: 'if (active.id !== this.tenant.id) {', replace: 'if (false) {' },
  { name: 'TenantDriver.end: the mark', file: DRIVER, find: '    this.ended = true\n', replace: '' },
  { name: 'TenantDriver.end: what is open', file: DRIVER, find: '    this.held?.end()\n', replace: '' },
  {
    name: 'select templates: the schema of each run',
    file: 'strategies/select-templates.ts',
    find: '= fill(template, driver.tenant.schema, values)',
    replace: '= fill(template, (template.first ??= driver.tenant.schema), values)',
  },
  {
    name: 'TenantDriver.getSchemaName: its own schema',
    file: DRIVER,
    find: '      refuseOtherSchema(options?.schema, this.tenant)\n      return this.tenant.schema',
    replace: '      return options?.schema ?? this.tenant.schema',
  },
  {
    name: 'TenantDriver.getSchemaName: its refusal',
    file: DRIVER,
    find: '      refuseOtherSchema(options?.schema, this.tenant)\n',
    replace: '',
  },
  {
    name: 'TenantDriver.createQueryBuilder: pinning',
    file: DRIVER,
    find: 'return pinnedQueryBuilder(this, this, args)',
    replace: 'return super.createQueryBuilder(...args)',
  },
  {
    name: 'TenantDriver.createQueryBuilder: the active run',
    file: DRIVER,
    find: "override createQueryBuilder(...args: Parameters<DriverInternals['createQueryBuilder']>): QueryBuilderInternals {\n    this.assertActive()\n",
    replace: "override createQueryBuilder(...args: Parameters<DriverInternals['createQueryBuilder']>): QueryBuilderInternals {\n",
  },
  {
    name: 'TenantDriver.createQueryBuilder: the control plane',
    file: DRIVER,
    find: "if (this.tenant.isolation === 'schema' || planeOf(this.metadata.get(args[0])) === 'tenant')",
    replace: 'if (1)',
  },
  {
    name: 'TenantDriver.refuseWrite',
    file: DRIVER,
    find: "if (meta !== undefined && planeOf(meta) === 'shared') refuseSharedWrite",
    replace: 'if (false) refuseSharedWrite',
  },
  {
    name: 'TenantDriver.controlFor',
    file: DRIVER,
    find: "    if (meta === undefined || planeOf(meta) === 'tenant') return undefined\n    return this.shared",
    replace: '    return undefined',
    with: ['TenantDriver.createQueryBuilder: the control plane'],
  },
  {
    name: 'TenantDriver: the options left behind',
    file: DRIVER,
    find: '  return rest\n',
    replace: '  return options as DriverOptions\n',
  },
  {
    name: 'TenantDriver.joinedProps',
    file: DRIVER,
    find: "    if (this.tenant.isolation === 'schema') return joined\n",
    replace: '    return joined\n',
  },
  {
    name: 'TenantDriver.contextName: one for all runs of a tenant',
    file: DRIVER,
    find: 'contextName: `tenant:${tenant.id}:${units}`',
    replace: 'contextName: `tenant:${tenant.id}`',
  },
  {
    name: 'TenantDriver.contextName: one for all tenants',
    file: DRIVER,
    find: 'contextName: `tenant:${tenant.id}:${units}`',
    replace: "contextName: 'tenant'",
  },
  {
    name: 'TenantEntityManager.schema',
    file: MANAGER,
    find: '    if (schema != null && schema !== own) {',
    replace: '    super.schema = schema ?? own\n    if (false) {',
  },
  {
    name: 'TenantEntityManager.getConnection',
    file: MANAGER,
    find: 'if (this.getDriver() instanceof ReadingControlDriver)',
    replace: 'if (false)',
  },
  {
    name: 'TenantEntityManager.flush',
    file: MANAGER,
    find: 'override async flush(): Promise<void> {\n    tenantDriverOf(this)?.assertActive()\n',
    replace: 'override async flush(): Promise<void> {\n',
  },
  // Each does what the other cannot: this one refuses where it is called, that one whoever calls the unit of work.
  {
    name: 'TenantGuard.beforeFlush',
    file: GUARD,
    find: '  beforeFlush({ em }: FlushEventArgs): void {\n    tenantDriverOf(em as EntityManager)?.assertActive()\n',
    replace: '  beforeFlush({ em }: FlushEventArgs): void {\n    void em\n',
  },
  {
    name: 'TenantEntityManager.setSessionContext',
    file: MANAGER,
    find: '    refuseSession(this, context)\n    super.setSessionContext',
    replace: '    super.setSessionContext',
  },
  {
    name: 'TenantEntityManager.fork: its session',
    file: MANAGER,
    find: '    if (options?.session !== undefined) refuseSession(this, options.session)\n',
    replace: '',
  },
  {
    name: 'TenantEntityManager: entities it is given',
    file: MANAGER,
    find: 'if (driver !== undefined) assertOwnEntities(given, driver)',
    replace: '',
  },
  {
    name: 'OwnEntityLoader',
    file: MANAGER,
    find: '    assertOwnEntities(args[1], this.#driver)\n',
    replace: '',
  },
  {
    name: 'TenantEntityManager.prepareOptions',
    file: MANAGER,
    find: '    tenantDriverOf(this)?.assertActive()\n    return super.prepareOptions',
    replace: '    return super.prepareOptions',
  },
  { name: 'assertNoForeign', file: MANAGER, find: 'if (driver !== undefined) assertNoForeign', replace: 'if (false) assertNoForeign' },
  {
    name: 'the cache key: plane and system',
    file: MANAGER,
    find: 'return `${plane}|',
    replace: 'return name\n  return `${plane}|',
  },
  {
    name: 'TenantResultCache: the tenant in the key',
    file: 'strategies/tenant-result-cache.ts',
    find: "return `${currentContext()?.tenant?.id ?? 'control'}|${name}`",
    replace: 'return name',
  },
  {
    name: 'PinnedQueryBuilder.withSchema',
    file: BUILDER,
    find: "if (this.plane === 'tenant') refuseOtherSchema(asked, this.run.tenant)",
    replace: 'return super.withSchema(asked)\n    if (false) refuseOtherSchema(asked, this.run.tenant)',
  },
  {
    name: 'PinnedQueryBuilder.clone',
    file: BUILDER,
    find: 'return Object.setPrototypeOf(super.clone(...args), PinnedQueryBuilder.prototype).pin(this.run) as QueryBuilderInternals',
    replace: 'return super.clone(...args)',
  },
  {
    name: 'PinnedQueryBuilder.from',
    file: BUILDER,
    find: 'if (this.run !== undefined && planeOf(this.mainAlias.meta) !== this.plane)',
    replace: 'if (false)',
  },
  {
    name: 'PinnedQueryBuilder.assertWritable',
    file: BUILDER,
    find: "if (this.plane === 'shared') refuseSharedWrite",
    replace: 'if (false) refuseSharedWrite',
  },
  {
    name: 'PinnedQueryBuilder.assertOwn: the active run',
    file: BUILDER,
    find: '    this.run.assertActive()\n    if (this.narrowed)',
    replace: '    if (this.narrowed)',
  },
  { name: 'PinnedQueryBuilder.assertOwn: visible rows', file: BUILDER, find: '    if (this.narrowed) return\n', replace: '    return\n' },
  {
    name: 'PinnedQueryBuilder.getNativeQuery: joins',
    file: BUILDER,
    find: 'assertOwnJoin(join, this.run.tenant, this.mainAlias.meta)\n    return query',
    replace: 'void join\n    return query',
  },
  { name: 'assertOwnJoin: its schema', file: BUILDER, find: '  refuseOtherSchema(schema, tenant)\n}', replace: '}' },
  {
    name: 'assertOwnJoin: another database',
    file: BUILDER,
    find: "if (tenant.isolation === 'database') throw new CrossDatabaseQueryError",
    replace: 'if (false) throw new CrossDatabaseQueryError',
  },
  {
    name: 'refuseUnreadable',
    file: BUILDER,
    find: "  if (planeOf(meta) === 'tenant') return\n  const marks",
    replace: '  if (1) return\n  const marks',
  },
  {
    name: 'refuseOtherSchema',
    file: BUILDER,
    find: "if (schema != null && schema !== '*' && schema !== tenant.schema) {",
    replace: 'if (false) {',
  },
  {
    name: 'TenantGuard.onInit',
    file: GUARD,
    find: 'if (driver !== undefined && stampOf(entity) === undefined) stamp',
    replace: 'if (false) stamp',
  },
  {
    name: 'TenantGuard.onFlush',
    file: GUARD,
    find: '    const driver = tenantDriverOf(em as EntityManager)\n    driver?.assertActive()\n',
    replace: '    if (1) return\n    const driver = tenantDriverOf(em as EntityManager)\n    driver?.assertActive()\n',
  },
  {
    name: 'TenantGuard: whose entity it is',
    file: GUARD,
    find: "else if (owner !== driver.tenant.id) throw foreign(meta.className, driver, 'would be written')",
    replace: '',
  },
  // MikroORM keeps both sides of a relation: whoever refers to a foreign entity stands in its collection too. They cover each other.
  {
    name: 'TenantGuard: whom it refers to, and in whose collection it stands',
    file: GUARD,
    find: 'for (const target of relationTargets(changeSet)) assertReferable',
    replace: 'for (const target of []) assertReferable',
    also: [
      { file: GUARD, find: '      assertOwn(collection.owner, helper(collection.owner).__meta as EntityMetadata, driver)\n', replace: '' },
    ],
    finds: '23503',
  },
  {
    name: 'TenantGuard: collections',
    file: GUARD,
    find: 'for (const item of collection.getItems(false)) assertReferable',
    replace: 'for (const item of []) assertReferable',
  },
  {
    name: 'TenantGuard: shared entities',
    file: GUARD,
    find: 'if (driver !== undefined) refuseSharedWrite',
    replace: 'if (false) refuseSharedWrite',
  },
  { name: 'assertSharedReferences', file: GUARD, find: "if (driver?.tenant.isolation === 'database') await", replace: 'if (false) await' },
  {
    name: 'ReadingControlDriver: query builders',
    file: READING,
    find: 'return readOnly(super.createQueryBuilder(...args))',
    replace: 'return super.createQueryBuilder(...args)',
  },
  {
    name: 'ReadingControlDriver: clones',
    file: READING,
    find: 'readOnly(clone(...args))',
    replace: 'clone(...args)',
  },
  // The method and the builder that MikroORM 7 makes in it cover each other: only without both is anything written. Methods that make no
  // builder stand alone.
  ...(['insert', 'update', 'delete'] as const).map((verb): Mutant => ({
    name: `ReadingControlDriver: ${verb}, by its method and its builder`,
    file: READING,
    find: `  override native${capital(verb)}(): Promise<unknown> {\n    return Promise.reject(forbidden())\n  }\n`,
    replace: '',
    also: [{ file: READING, find: `    ${verb}: refuse,\n`, replace: '' }],
    finds: `native ${verb}: not refused`,
  })),
  ...(['InsertMany', 'UpdateMany'] as const).map((name): Mutant => ({
    name: `ReadingControlDriver.native${name}`,
    file: READING,
    find: `  override native${name}(): Promise<unknown> {\n    return Promise.reject(forbidden())\n  }\n`,
    replace: '',
  })),
]

function capital(word: string): string {
  return `${word[0]!.toUpperCase()}${word.slice(1)}`
}
