/**
 * The durable record of migration runs: a row for each run, and one for each tenant in it.
 *
 * They are written by the run's own session with plain SQL, many rows in one statement; the entities are there to read them. A run has no
 * audit columns: it is a record itself, and says who acted.
 */
import { defineEntity, p } from '@mikro-orm/postgresql'
import { SCOPE, marksOf } from '../classification/scope.ts'
import { SHARED_SCHEMA } from '../naming.ts'

/** `stopped`: it did not begin with all of its tenants, and can be resumed. A run that is `running` while no process works on it was cut off. */
export const RUN_STATUSES = ['running', 'succeeded', 'failed', 'stopped'] as const
/** One of {@link RUN_STATUSES}. */
export type RunStatus = (typeof RUN_STATUSES)[number]

/** What became of one tenant in a run. `skipped`: it did not serve any more when its turn came. */
export const RUN_TENANT_STATUSES = ['pending', 'running', 'applied', 'failed', 'skipped'] as const
/** One of {@link RUN_TENANT_STATUSES}. */
export type RunTenantStatus = (typeof RUN_TENANT_STATUSES)[number]

/** What a run was told, kept so that it goes on alike when it is resumed. */
export interface RunPlan {
  readonly concurrency: number
  readonly maxFailures: number | null
  readonly allowDestructive: boolean
  /** All tenants, or those that were named: only the first takes in tenants that appear meanwhile. */
  readonly everyone: boolean
}

/** A run of migrations over tenants. */
export const MigrationRun = defineEntity({
  name: 'MigrationRun',
  tableName: 'tenantkit_migration_run',
  schema: SHARED_SCHEMA,
  properties: {
    id: p.uuid().primary(),
    status: p.string().$type<RunStatus>().length(20),
    /** Who began it, as in audit columns. */
    actor: p.string().length(255),
    /** The last migration when it began: where its tenants are brought to. */
    toVersion: p.string().length(255).nullable(),
    plan: p.json<RunPlan>(),
    /** Why it stopped. */
    reason: p.text().nullable(),
    startedAt: p.datetime(3),
    finishedAt: p.datetime(3).nullable(),
  },
})

/** One tenant of a run. */
export const MigrationRunTenant = defineEntity({
  name: 'MigrationRunTenant',
  tableName: 'tenantkit_migration_run_tenant',
  schema: SHARED_SCHEMA,
  properties: {
    runId: p.uuid().primary(),
    tenantId: p.uuid().primary(),
    slug: p.string().length(50),
    /** 0 are the canaries; a wave begins when the one before it has ended. */
    wave: p.integer(),
    status: p.string().$type<RunTenantStatus>().length(20),
    /** How often it was begun. */
    attempt: p.integer().default(0),
    error: p.text().nullable(),
    fromVersion: p.string().length(255).nullable(),
    toVersion: p.string().length(255).nullable(),
    /** The migrations that were applied. */
    names: p.json<readonly string[]>().default('[]'),
    startedAt: p.datetime(3).nullable(),
    finishedAt: p.datetime(3).nullable(),
  },
  indexes: [
    { name: 'tenantkit_migration_run_tenant_status_index', properties: ['runId', 'status', 'wave', 'slug'] },
    { name: 'tenantkit_migration_run_tenant_tenant_index', properties: ['tenantId'] },
  ],
})

for (const entity of [MigrationRun, MigrationRunTenant]) marksOf(entity.meta)[SCOPE] = 'shared'
