/** The parts of a tenancy and how they hold together: only here do directory, strategies, migrations and registry meet. */
import { checkPassword } from './auth/password.ts'
import { ConnectionRegistry } from './connections/connection-registry.ts'
import type { GuardedConnection } from './connections/guarded-connection.ts'
import { ControlEvents } from './control-events.ts'
import { Diagnosis } from './diagnosis/diagnosis.ts'
import { Fleet } from './fleet.ts'
import { Migrations } from './migrations/migrations.ts'
import { parseSlug } from './naming.ts'
import { OperationRecords } from './operation-records.ts'
import { Operations } from './operations.ts'
import type { ResolvedOptions } from './options.ts'
import { reasonOf } from './provisioning/steps.ts'
import { TenantMigration } from './provisioning/tenant-migration.ts'
import { TenantRegistry } from './provisioning/tenant-registry.ts'
import { Runs } from './runs.ts'
import { DatabaseStrategy } from './strategies/database-strategy.ts'
import type { RuntimeOrm } from './strategies/runtime-orm.ts'
import { SchemaStrategy } from './strategies/schema-strategy.ts'
import { TenantRoles } from './strategies/tenant-roles.ts'
import { TenancyHistory } from './tenancy-history.ts'
import { TenantDirectory } from './tenants/directory.ts'
import { REGISTRY_ENTITIES } from './tenants/entities.ts'
import { TenancyUsage } from './usage/tenancy-usage.ts'

export type Parts = ReturnType<typeof composeParts>

/** Makes the parts; nothing is opened. */
export function composeParts(options: ResolvedOptions, orm: RuntimeOrm) {
  const connections = new ConnectionRegistry<GuardedConnection>({ max: options.pool.maxTenants, room: orm.databaseRoom })
  const migrations = new Migrations({
    entities: options.entities,
    frameworkEntities: [...REGISTRY_ENTITIES],
    directUrl: options.directUrl,
    path: options.given.migrations.path,
    metadata: () => orm.metadata(),
    concurrency: mostMigrationsAtOnce(options),
  })
  const directory = new TenantDirectory({
    ...options.directory,
    control: () => orm.control(),
    directUrl: options.directUrl,
    // Who cannot ask the control plane now asks it at the next change, or at the next reconnection.
    changed: slug => void runs.abortPurged(slug).catch(() => undefined),
  })
  const { directUrl, provisioningUrl, prefix } = options
  const roles = options.strict ? new TenantRoles({ orm, prefix, directUrl, provisioningUrl }) : undefined
  const strategies = {
    schema: new SchemaStrategy({ orm, directUrl, provisioningUrl, roles }),
    database: new DatabaseStrategy({
      orm,
      keyRing: options.keyRing,
      connections,
      pool: options.tenantPool,
      provisioningUrl: options.provisioningUrl,
      controlUrl: options.directUrl,
      runtimeUrl: options.url,
      pooled: options.pooled,
      prefix: options.prefix,
    }),
  }
  const runs = new Runs({ orm, strategies, pooled: options.pooled, find: slug => directory.find(slug) })
  const { given } = options
  const migrating = {
    control: () => orm.control(),
    migrations,
    directUrl,
    changed: (slug: string) => directory.forget(slug),
  }
  const tenantMigration = new TenantMigration({ ...migrating, strategies })
  const registry = new TenantRegistry({
    control: () => orm.control(),
    directory,
    strategies,
    migrations,
    tenantMigration,
    keyRing: options.keyRing,
    prefix: options.prefix,
    directUrl: options.directUrl,
    tenantServerUrl: options.url,
    inside: (record, actor, work) => runs.run(record, work, { actor }),
    seed: given.seed && (async tenant => given.seed?.(tenant)),
    checkPassword,
    bootstrapAdmin: given.bootstrapAdmin && (async input => given.bootstrapAdmin?.(input)),
  })
  const operations = new Operations(registry, options.hooks)
  const records = new OperationRecords(() => orm.control())
  const history = new TenancyHistory({ control: () => orm.control(), directory, runs: runs })
  const usage = new TenancyUsage({
    ...options.usage,
    control: () => orm.control(),
    directUrl,
    inside: (record, actor, work) => runs.run(record, work, { actor }),
    reasonOf,
  })
  const events = new ControlEvents({
    record: event => history.record(event),
    idOf: async slug => (await directory.row(slug))?.id,
  })
  const fleet = new Fleet({
    ...migrating,
    tenantMigration,
    prefix: options.prefix,
    pooledUrl: options.pooled ? options.url : undefined,
    roles,
    mostAtOnce: mostMigrationsAtOnce(options),
    down: async (slug, selection) => (await registry.migrate(parseSlug(slug), 'down', selection)).names,
    ran: (moment, run, facts) => events.migrationRun(moment, run, facts),
    migrated: (tenant, migrations) => operations.call(hook => hook.migrated?.({ tenant, migrations })),
  })
  const diagnosis = new Diagnosis({
    options,
    migrations,
    tenantMigration,
    history,
    control: () => orm.control(),
    metadata: () => [...orm.metadata().getAll().values()],
    directUrl,
    roles,
  })
  return { connections, directory, registry, migrations, operations, records, runs, history, usage, events, fleet, diagnosis }
}

/** Each takes a lane and a session of its own at most, beside the pool of requests, the run's session and the directory's. */
function mostMigrationsAtOnce({ pool: { perServer, shared } }: ResolvedOptions): number {
  return Math.max(1, Math.floor((perServer - shared - 2) / 2))
}
