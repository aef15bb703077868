/** Errors about tenants: how they are named, whether they serve, and what their life allows. */
import { TenancyError, shown } from './tenancy-error.ts'

/** A route needs a tenant, and the request named none. */
export class TenantRequiredError extends TenancyError {
  readonly code = 'TENANT_REQUIRED'
  readonly status = 400
  constructor() {
    super('This route needs a tenant, and the request names none.', {
      hint: 'Send the header X-Tenant with the slug of the tenant, or use a token of a tenant.',
    })
  }
}

/** The identifier of a tenant is malformed. */
export class TenantInvalidError extends TenancyError {
  readonly code = 'TENANT_INVALID'
  readonly status = 400
  constructor(identifier: unknown) {
    super(`${shown(identifier)} is not a tenant slug.`, {
      hint: 'A slug has 3 to 50 lower-case letters, digits and single hyphens, begins with a letter and ends with a letter or digit.',
    })
  }
}

/** No tenant has this slug. */
export class TenantNotFoundError extends TenancyError {
  readonly code = 'TENANT_NOT_FOUND'
  readonly status = 404
  constructor(identifier: unknown) {
    super(`There is no tenant ${shown(identifier)}.`, {
      hint: 'Check the spelling of the slug; `tenantkit tenants list` shows what exists.',
    })
  }
}

/** Two resolvers found different tenants in one request. */
export class TenantEvidenceConflictError extends TenancyError {
  readonly code = 'TENANT_EVIDENCE_CONFLICT'
  readonly status = 409
  constructor(sources: readonly string[]) {
    super(`The request names different tenants (by ${sources.join(' and ')}).`, {
      hint: 'Send one tenant only: drop the header, or use a token of the tenant that the header names.',
    })
  }
}

/** The identity of the request may not enter this tenant. */
export class TenantForbiddenError extends TenancyError {
  readonly code = 'TENANT_FORBIDDEN'
  readonly status = 403
  constructor() {
    super('This identity may not enter the tenant.', {
      hint: 'Log in to that tenant, or ask a global operator for the permission tenants:enter.',
    })
  }
}

/** The tenant exists and does not serve yet: pending, provisioning or failed. */
export class TenantNotReadyError extends TenancyError {
  readonly code = 'TENANT_NOT_READY'
  readonly status = 503
  constructor(slug: string, tenantStatus: string) {
    super(`Tenant ${shown(slug)} is not ready (${tenantStatus}).`, {
      hint: 'Try again shortly; an operator sees the reason in the registry.',
      retryAfterSeconds: 5,
    })
  }
}

/** The tenant is suspended, for operators too. */
export class TenantSuspendedError extends TenancyError {
  readonly code = 'TENANT_SUSPENDED'
  readonly status = 403
  constructor(slug: string) {
    super(`Tenant ${shown(slug)} is suspended.`, { hint: 'An operator can resume it: `tenantkit tenants resume <slug>`.' })
  }
}

/** The tenant is archived, being purged or purged. */
export class TenantArchivedError extends TenancyError {
  readonly code = 'TENANT_ARCHIVED'
  readonly status = 410
  constructor(slug: string) {
    super(`Tenant ${shown(slug)} is archived.`, {
      hint: 'An archived tenant can be restored until it is purged: `tenantkit tenants restore <slug>`.',
    })
  }
}

/** The tenant's status does not allow this. `details.allowed` lists the statuses that do. */
export class InvalidStateError extends TenancyError {
  readonly code = 'INVALID_STATE'
  readonly status = 409
  constructor(slug: string, operation: string, current: string, allowed: readonly string[], reason?: string) {
    super(reason ?? `Tenant ${shown(slug)} is ${current}; ${operation} is not possible.`, {
      hint: allowed.length > 0 ? `Possible when it is: ${allowed.join(', ')}.` : 'This cannot be undone.',
      details: { status: current, operation, allowed },
    })
  }
}

/** A step of provisioning (or purging) failed; what had been done was undone. `details.step` names the step. */
export class ProvisioningFailedError extends TenancyError {
  readonly code = 'PROVISIONING_FAILED'
  readonly status = 502
  constructor(step: string, reason: string, options: { readonly cause?: unknown; readonly leftovers?: readonly string[] } = {}) {
    super(`Provisioning failed at the step ${step}: ${reason}`, {
      hint: 'The tenant is marked failed with the reason; retry it, or delete it.',
      details: { step, ...(options.leftovers?.length ? { leftovers: options.leftovers } : {}) },
      cause: options.cause,
    })
  }
}

/** Another operation holds this tenant. */
export class OperationConflictError extends TenancyError {
  readonly code = 'OPERATION_CONFLICT'
  readonly status = 409
  constructor(slug: string) {
    super(`Another operation works on tenant ${shown(slug)}.`, { hint: 'Wait until it has ended, then try again.', retryAfterSeconds: 5 })
  }
}

/** The control plane's role cannot create schemas, so there is no place for a schema tenant. */
export class SchemaProvisioningUnsupportedError extends TenancyError {
  readonly code = 'SCHEMA_PROVISIONING_UNSUPPORTED'
  readonly status = 400
  constructor(cause?: unknown) {
    super('Schemas cannot be created in the control plane: its role has no right to.', {
      hint: 'grant create on database … to the role of the direct URL, or use isolation "database".',
      cause,
    })
  }
}
