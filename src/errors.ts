/** Every error of this framework. The base and the errors about tenants stand in files of their own and are passed on here. */
import { TenancyError, shown, type FieldError } from './tenancy-error.ts'

export * from './tenancy-error.ts'
export * from './tenant-errors.ts'

// ---- programming errors of an application

/** Tenant data (or any context) was asked for where no context is active. */
export class NoTenantContextError extends TenancyError {
  readonly code = 'NO_TENANT_CONTEXT'
  readonly status = 500
  constructor(
    message = 'No tenant is active here.',
    hint = 'Wrap the call in tenancy.run(slug, work), or mount tenantMiddleware(tenancy, …) before this route.',
    cause?: unknown,
  ) {
    super(message, { hint, cause })
  }
}

/** The run ended in the middle of its work: its client went away, or its `signal` fired. */
export class RunAbortedError extends TenancyError {
  readonly code = 'RUN_ABORTED'
  readonly status = 499
  constructor(slug: string, cause?: unknown) {
    super(`The run or request in tenant ${shown(slug)} was aborted. What it had not committed was rolled back.`, {
      hint: 'Nothing, if the client went away. To let the work of such requests finish: tenantMiddleware(tenancy, { whenAborted: "finish" }).',
      cause,
    })
  }
}

/** Nobody acts here: a change would be stored without its author. */
export class NoActorError extends TenancyError {
  readonly code = 'NO_ACTOR'
  readonly status = 500
  constructor() {
    super('No actor is active here, and every change is attributed.', {
      hint: 'Pass { actor } to tenancy.run(slug, work, { actor }), or wrap the job in tenancy.runAsSystem(name, work).',
    })
  }
}

/** The history was written by something else than the framework. Nothing was written. */
export class HistoryAppendOnlyError extends TenancyError {
  readonly code = 'HISTORY_APPEND_ONLY'
  readonly status = 500
  constructor(what = 'Events of the history are written by the framework alone, and never changed or removed by an application.') {
    super(what, { hint: 'Record an event of your own with tenancy.history.record(event); old ones go with tenancy.history.purge(…).' })
  }
}

/** The history of a plane cannot be sealed: what says where its chain ends is gone. */
export class HistoryBrokenError extends TenancyError {
  readonly code = 'HISTORY_BROKEN'
  readonly status = 500
  constructor(message: string) {
    super(message, { hint: 'tenancy.history.verify() says which plane it is. Somebody changed the tables of the history by SQL.' })
  }
}

/** An entity, a schema or a connection of one tenant was used in another, or a shared entity was written from a tenant. */
export class CrossTenantEntityError extends TenancyError {
  readonly code = 'CROSS_TENANT_ENTITY'
  readonly status = 500
  constructor(
    message: string,
    hint = 'Load the entity again inside the tenant that is active; write shared entities through controlEm().',
    cause?: unknown,
  ) {
    super(message, { hint, cause })
  }
}

/** Raw SQL that strict mode or `tenantSql` does not take. Nothing was sent. */
export class SqlRefusedError extends TenancyError {
  readonly code = 'SQL_REFUSED'
  readonly status = 500
  constructor(what: string, hint: string) {
    super(`${what} is not taken here. Nothing was sent to the database.`, { hint })
  }
}

/** A query joins a tenant's table in a database of its own with a shared table, which stands in another database. */
export class CrossDatabaseQueryError extends TenancyError {
  readonly code = 'CROSS_DATABASE_QUERY'
  readonly status = 500
  constructor(entity: string) {
    super(`A query joins the shared entity ${entity}, and this tenant has a database of its own.`, {
      hint: `Query ${entity} first and then by its ids, or populate the relation: that is one query by ids.`,
    })
  }
}

/** The configuration, the entities or the order of middleware is wrong. All problems are listed at once. */
export class ConfigurationError extends TenancyError {
  readonly code = 'CONFIGURATION_INVALID'
  readonly status = 500
  readonly problems: readonly string[]
  constructor(problems: readonly string[], hint?: string) {
    super(
      problems.length === 1 ? problems[0]! : `${problems.length} problems:\n${problems.map(p => `  - ${p}`).join('\n')}`,
      hint === undefined ? {} : { hint },
    )
    this.problems = problems
  }
}

// ---- input

/** The input is refused; `errors` names each field. */
export class ValidationFailedError extends TenancyError {
  readonly code = 'VALIDATION_FAILED'
  readonly status = 400
  constructor(errors: readonly FieldError[], hint = 'Correct the fields named in errors.') {
    super(
      errors.length === 1
        ? `${errors[0]!.path ? `${errors[0]!.path}: ` : ''}${errors[0]!.message}`
        : `${errors.length} fields are refused.`,
      { errors, hint },
    )
  }
}

/** No such row. */
export class NotFoundError extends TenancyError {
  readonly code = 'NOT_FOUND'
  readonly status = 404
  constructor(what = 'resource') {
    super(`No such ${what}.`, { hint: 'It never existed, was deleted, or belongs to another tenant.' })
  }
}

/** A unique value is taken, or the row changed meanwhile. */
export class ConflictError extends TenancyError {
  readonly code = 'CONFLICT'
  readonly status = 409
}

/** Another live tenant has this slug. */
export class SlugTakenError extends TenancyError {
  readonly code = 'SLUG_TAKEN'
  readonly status = 409
  constructor(slug: string) {
    super(`The slug ${shown(slug)} is taken.`, {
      hint: 'A slug is free again when its tenant is purged.',
      errors: [{ path: 'slug', message: 'is taken' }],
    })
  }
}

/** Another tenant has this connection alias. */
export class AliasTakenError extends TenancyError {
  readonly code = 'ALIAS_TAKEN'
  readonly status = 409
  constructor(alias: string) {
    super(`The connection alias ${shown(alias)} is taken.`, {
      hint: 'Choose another alias.',
      errors: [{ path: 'connection_alias', message: 'is taken' }],
    })
  }
}

/** Another tenant has this schema. */
export class SchemaTakenError extends TenancyError {
  readonly code = 'SCHEMA_TAKEN'
  readonly status = 409
  constructor(schema: string) {
    super(`The schema ${shown(schema)} is taken.`, {
      hint: 'Choose another schema name (or another slug).',
      errors: [{ path: 'schema_name', message: 'is taken' }],
    })
  }
}

/** The name is reserved for the framework or for PostgreSQL. */
export class ReservedNameError extends TenancyError {
  readonly code = 'RESERVED_NAME'
  readonly status = 400
  constructor(path: string, name: string) {
    super(`${shown(name)} is a reserved name.`, { hint: 'Choose another name.', errors: [{ path, message: 'is reserved' }] })
  }
}

/** The confirmation phrase is missing or wrong. */
export class ConfirmationRequiredError extends TenancyError {
  readonly code = 'CONFIRMATION_REQUIRED'
  readonly status = 400
  constructor(phrase: string) {
    super(`This cannot be undone and needs the phrase ${JSON.stringify(phrase)}.`, {
      hint: `Send "confirm": ${JSON.stringify(phrase)}; on the command line: --confirm ${JSON.stringify(phrase)}.`,
      errors: [{ path: 'confirm', message: `must be ${JSON.stringify(phrase)}` }],
    })
  }
}

/** No such operation. */
export class UnknownOperationError extends TenancyError {
  readonly code = 'UNKNOWN_OPERATION'
  readonly status = 400
  constructor(operation: unknown, allowed: readonly string[]) {
    super(`${shown(operation)} is not an operation.`, { hint: `Allowed: ${allowed.join(', ')}.`, details: { allowed } })
  }
}

// ---- identity

/** No valid identity. */
export class UnauthenticatedError extends TenancyError {
  readonly code = 'UNAUTHENTICATED'
  readonly status = 401
  constructor(message = 'No valid token was sent.') {
    super(message, { hint: 'Log in and send the header Authorization: Bearer <token>.' })
  }
}

/** The identity is known and may not do this. */
export class ForbiddenError extends TenancyError {
  readonly code = 'FORBIDDEN'
  readonly status = 403
  constructor(permission?: string) {
    super(permission === undefined ? 'This identity may not do this.' : `This needs the permission ${permission}.`, {
      hint: 'Ask an owner for the permission, or use another account.',
    })
  }
}

// ---- transport

/** The body is too large. */
export class PayloadTooLargeError extends TenancyError {
  readonly code = 'PAYLOAD_TOO_LARGE'
  readonly status = 413
  constructor(limit: string) {
    super(`The body is larger than ${limit}.`, { hint: `Send at most ${limit}.` })
  }
}

/** The body is not of a type this route takes. */
export class UnsupportedMediaTypeError extends TenancyError {
  readonly code = 'UNSUPPORTED_MEDIA_TYPE'
  readonly status = 415
  constructor() {
    super('The body must be JSON.', { hint: 'Send the header Content-Type: application/json.' })
  }
}

/** Too many tries. */
export class RateLimitedError extends TenancyError {
  readonly code = 'RATE_LIMITED'
  readonly status = 429
  constructor(retryAfterSeconds: number) {
    super('Too many tries.', { hint: `Try again in ${retryAfterSeconds} s.`, retryAfterSeconds })
  }
}

// ---- secrets and connections

/** A sealed secret does not open: it was changed, or belongs to another tenant. */
export class SecretTamperedError extends TenancyError {
  readonly code = 'SECRET_TAMPERED'
  readonly status = 500
  constructor(reason: string) {
    super(`A stored secret does not open: ${reason}.`, { hint: 'Restore it from a backup, or store the secret again.' })
  }
}

/** A sealed secret names a key that the key ring does not hold. */
export class SecretKeyUnknownError extends TenancyError {
  readonly code = 'SECRET_KEY_UNKNOWN'
  readonly status = 500
  constructor(keyId: string, known: readonly string[]) {
    super(`A stored secret was sealed with the key ${shown(keyId)}, which the key ring does not hold.`, {
      hint: `Known keys: ${known.map(shown).join(', ')}. Add the old key to TENANTKIT_ENCRYPTION_KEYS.`,
    })
  }
}

/** No connection became free in time. */
export class PoolExhaustedError extends TenancyError {
  readonly code = 'POOL_EXHAUSTED'
  readonly status = 503
  constructor(
    waitedMilliseconds: number,
    cause?: unknown,
    message = `No database connection became free within ${waitedMilliseconds} ms.`,
  ) {
    super(message, {
      hint: 'Try again shortly, or raise the size of the pools.',
      retryAfterSeconds: 2,
      cause,
    })
  }
}

/** A connection was used after it was closed (evicted, rotated, or the application stopped). It never reconnects. */
export class ConnectionClosedError extends TenancyError {
  readonly code = 'CONNECTION_CLOSED'
  readonly status = 503
  constructor(key: string) {
    super(`The connection ${shown(key)} is closed.`, {
      hint: 'Use the EntityManager only inside the run or request that gave it.',
      retryAfterSeconds: 1,
    })
  }
}

/** What no other error describes. The cause is logged, not sent. */
export class InternalError extends TenancyError {
  readonly code = 'INTERNAL'
  readonly status = 500
  constructor(cause?: unknown) {
    super('Something went wrong on our side.', { hint: 'Try again; quote the request id if it happens again.', cause })
  }
}
