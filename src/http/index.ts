/** The public list of `mikro-tenantkit/koa`. Nothing inside imports it. */
export { authentication, type AuthenticationOptions } from './authentication.ts'
export { bodyOf, compact, jsonBody, parse, withoutAuditFields, type Compact, type JsonBodyOptions } from './body.ts'
export { controlPlane } from './control-plane.ts'
export { BadRequestError, MethodNotAllowedError, NotReadyError } from './errors.ts'
export { checkPermissions, globalIdentityOf, identityOf, requireIdentity, requirePermissions, requireTenant } from './guards.ts'
export { createMetrics, health, type HealthOptions, type Metrics } from './health.ts'
export {
  PAGE_LIMIT,
  cursorOf,
  limitOf,
  pageOf,
  pageRequest,
  pageWhere,
  queryValue,
  type Page,
  type PageRequest,
  type Query,
} from './paging.ts'
export { toProblem, toTenancyError, type ProblemDocument } from './problem-document.ts'
export { problems, type Log, type ProblemOptions } from './problems.ts'
export { requestLog } from './request-log.ts'
export { stateOf, type Identity, type IdentityEvidence, type TenancyState } from './state.ts'
export { checkMiddlewareOrder, tenantMiddleware, type MountedMiddleware, type TenantMiddlewareOptions } from './tenant-middleware.ts'
