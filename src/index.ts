/** The public API of mikro-tenantkit. Importing it loads neither Koa, nor AdminJS, nor the embedded server. */
export { createTenancy, type Tenancy } from './tenancy.ts'
export type { OperationOptions, OperationReport, ProvisionInput, RunOptions, TenancyStatistics } from './tenancy-types.ts'
export {
  defineTenancy,
  type AdminInput,
  type DatabaseOptions,
  type DirectoryOptions,
  type IsolationOptions,
  type PoolOptions,
  type TenancyHooks,
  type TenancyOptions,
  type UrlSource,
} from './options.ts'
export { mikroOrmConfigs, type OrmConfigFactory } from './mikro-orm-configs.ts'
export type { CheckFinding } from './diagnosis/finding.ts'
export type { DriftOptions, DriftReport, TenantDrift } from './diagnosis/drift.ts'
export type { SharedDrift } from './diagnosis/shared-drift.ts'
export type { ObjectDifference } from './migrations/fingerprint.ts'
export type { Fleet } from './fleet.ts'
export type { DownOptions, MigrateOptions, MigrateOutcome, MigrateProgress, MigrateReport } from './fleet/migrate-options.ts'
export type { MigrationPlan, PlanOptions, PlannedGroup, PlannedMigration } from './fleet/plan.ts'
export type { RunSummary } from './fleet/run-store.ts'
export type { FailedTenant, FleetStatus, VersionCount } from './fleet/status.ts'
export {
  bindContext,
  controlEm,
  currentActor,
  currentContext,
  currentTenant,
  em,
  type Actor,
  type Isolation,
  type TenancyContext,
  type TenantRef,
} from './context/context.ts'
export { handOver, type HandedOver, type HandedOverActor } from './context/hand-over.ts'
export type { TenantHandle } from './context/tenant-handle.ts'
export { AUDIT_FIELDS, DELETED_FILTER, SOFT_DELETE_FILTER, auditProperties, type AuditField } from './audit/audit-fields.ts'
export type { DeletePolicy } from './audit/policies.ts'
export type { ActorEntity, ActorLabels, ActorsOptions } from './actors.ts'
export { restore } from './audit/restoring.ts'
export { purge } from './audit/purging.ts'
export { purgeDeleted, type PurgeDeletedOptions, type PurgeReport } from './audit/purge-deleted.ts'
export { onlyDeleted, withDeleted, type WithView } from './audit/views.ts'
export {
  bothEntity,
  sharedEntity,
  tenantEntity,
  type BothEntity,
  type HistoryOptions,
  type ScopedEntity,
} from './classification/entities.ts'
export { scopeOf, sharedHalfOf, type ClassificationOptions, type EntityInput } from './classification/classify.ts'
export type { Plane, Scope } from './classification/scope.ts'
export { VISIBILITY_FILTER } from './classification/visibility.ts'
export { tenantSql, type TenantSql, type TenantSqlEntity, type TenantSqlScalar, type TenantSqlValue } from './strategies/tenant-sql.ts'
export { newId } from './ids.ts'
export { AuditEvent, type EventChanges } from './history/audit-event.ts'
export type { Seal } from './history/chain.ts'
export type { EventJson, EventPage, EventQuery } from './history/list.ts'
export type { ChainVerification, HistoryBreak } from './history/verify.ts'
export {
  CONTROL_PLANE,
  type HistoryPurgeOptions,
  type HistoryQuery,
  type HistoryScope,
  type HistoryVerifyOptions,
  type NewEvent,
  type PlaneOutcome,
  type PlanePurged,
  type PlaneSealed,
  type TenancyHistory,
} from './tenancy-history.ts'
export { SharedMigration, TenantMigration } from './migrations/migration.ts'
export { Tenant, TenantInvitation, TenantSetting, TenantUsage, type TenantStatus } from './tenants/entities.ts'
export { MigrationRun, MigrationRunTenant, type RunPlan, type RunStatus, type RunTenantStatus } from './tenants/migration-runs.ts'
export type { TenancyUsage } from './usage/tenancy-usage.ts'
export type {
  MeasuredTenant,
  UnmeasuredTenant,
  UsageCollectOptions,
  UsageJson,
  UsageOptions,
  UsageQuery,
  UsageReport,
} from './usage/usage-types.ts'
export {
  TenantOperation,
  type OperationFailure,
  type OperationStatus,
  type OperationStep,
  type StepStatus,
} from './tenants/tenant-operations.ts'
export type { OperationJson } from './operation-records.ts'
export type { TenancyOperations } from './tenancy-operations.ts'
export type { TenantRecord } from './tenants/directory.ts'
export type { TenantInput } from './tenants/input.ts'
export type { TenantJson } from './tenants/tenant-json.ts'
export type { TenantPage, TenantQuery } from './tenants/list.ts'
export type { TenantChange } from './provisioning/tenant-registry.ts'
export { KeyRing, parseKeyRing, generateKey } from './crypto/key-ring.ts'
export { open, seal, reseal, needsReseal, type SealContext } from './crypto/seal.ts'
export { createTokens, bearerToken, type TokenOptions, type Tokens } from './auth/tokens.ts'
export { assertTokenTenant, withTenantClaims, type IdentityClaims, type TokenClaims } from './auth/claims.ts'
export { checkPassword, hashPassword, needsRehash, verifyPassword } from './auth/password.ts'
export {
  PERMISSIONS,
  ROLES,
  permissionsOf,
  requirePermission,
  type GlobalRole,
  type Permission,
  type TenantRole,
} from './auth/permissions.ts'
export { createThrottle, type Throttle, type ThrottleOptions } from './auth/throttle.ts'
export { fromHeader } from './resolvers/from-header.ts'
export { fromSession } from './resolvers/from-session.ts'
export { fromSubdomain, type SubdomainOptions } from './resolvers/from-subdomain.ts'
export { fromToken } from './resolvers/from-token.ts'
export { resolveTenant } from './resolvers/resolve-tenant.ts'
export type { RequestEvidence, ResolveTenant, TenantResolver } from './resolvers/evidence.ts'
export { TenancyError, type FieldError, type TenancyErrorOptions } from './tenancy-error.ts'
export {
  InvalidStateError,
  OperationConflictError,
  ProvisioningFailedError,
  SchemaProvisioningUnsupportedError,
  TenantArchivedError,
  TenantEvidenceConflictError,
  TenantForbiddenError,
  TenantInvalidError,
  TenantNotFoundError,
  TenantNotReadyError,
  TenantRequiredError,
  TenantSuspendedError,
} from './tenant-errors.ts'
export {
  AliasTakenError,
  ConfigurationError,
  ConfirmationRequiredError,
  ConflictError,
  ConnectionClosedError,
  CrossDatabaseQueryError,
  CrossTenantEntityError,
  ForbiddenError,
  HistoryAppendOnlyError,
  HistoryBrokenError,
  InternalError,
  NoActorError,
  NoTenantContextError,
  NotFoundError,
  PayloadTooLargeError,
  PoolExhaustedError,
  RateLimitedError,
  ReservedNameError,
  RunAbortedError,
  SchemaTakenError,
  SecretKeyUnknownError,
  SecretTamperedError,
  SlugTakenError,
  SqlRefusedError,
  UnauthenticatedError,
  UnknownOperationError,
  UnsupportedMediaTypeError,
  ValidationFailedError,
} from './errors.ts'
export {
  DestructiveMigrationError,
  MigrationBusyError,
  MigrationFailedError,
  MigrationInterruptedError,
  MigrationRunFailedError,
  SchemaNotFoundError,
} from './migrations/errors.ts'
