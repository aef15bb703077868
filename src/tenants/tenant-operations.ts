/**
 * The durable record of what is done to one tenant: a row for each operation, with its steps. It is written while the operation runs, so
 * that everybody sees how far it is; the entity is there to read it. It has no audit columns: it is a record itself, and says who acted.
 */
import { defineEntity, p } from '@mikro-orm/postgresql'
import { SCOPE, marksOf } from '../classification/scope.ts'
import { SHARED_SCHEMA } from '../naming.ts'

/** `interrupted`: it was cut off, since its process ended. It is told so as soon as nobody holds the tenant's lock, and stored by the next one. */
export const OPERATION_STATUSES = ['running', 'succeeded', 'failed', 'interrupted'] as const
/** One of {@link OPERATION_STATUSES}. */
export type OperationStatus = (typeof OPERATION_STATUSES)[number]

/** What became of one step; `undone` when a later one failed. */
export type StepStatus = 'pending' | 'running' | 'succeeded' | 'failed' | 'undone'

/** One step of an operation; times are ISO 8601 in UTC. */
export interface OperationStep {
  readonly name: string
  readonly status: StepStatus
  readonly started_at: string | null
  readonly finished_at: string | null
}

/** Why an operation failed, as a client may read it. */
export interface OperationFailure {
  readonly code: string
  readonly message: string
  readonly hint: string | null
}

/** One operation on one tenant. */
export const TenantOperation = defineEntity({
  name: 'TenantOperation',
  tableName: 'tenantkit_tenant_operation',
  schema: SHARED_SCHEMA,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    slug: p.string().length(50),
    name: p.string().length(40),
    status: p.string().$type<OperationStatus>().length(20),
    /** Who began it, as in audit columns. */
    actor: p.string().length(255),
    steps: p.json<readonly OperationStep[]>().default('[]'),
    result: p.json<Readonly<Record<string, unknown>>>().default('{}'),
    error: p.json<OperationFailure>().nullable(),
    startedAt: p.datetime(3),
    finishedAt: p.datetime(3).nullable(),
  },
  indexes: [{ name: 'tenantkit_tenant_operation_tenant_index', properties: ['tenantId', 'id'] }],
})

marksOf(TenantOperation.meta)[SCOPE] = 'shared'
