/** The errors of migrations. None of their messages holds a URL or the text of a statement. */
import { TenancyError, counted, shown } from '../errors.ts'

/** The schema that was to be migrated does not exist. Migrating creates none: a misspelt name must not become a schema. */
export class SchemaNotFoundError extends TenancyError {
  readonly code = 'NOT_FOUND'
  readonly status = 404
  constructor(schema: string, key: string) {
    super(`The schema ${shown(schema)} of ${shown(key)} does not exist in its database.`, {
      hint: 'Migrating creates no schemas: check the spelling, or provision the tenant first.',
      details: { schema },
    })
  }
}

/** A migration failed; it was rolled back and is not recorded. `details.migration` names it. */
export class MigrationFailedError extends TenancyError {
  readonly code = 'MIGRATION_FAILED'
  readonly status = 500
  constructor(key: string, migration: string, cause: unknown, applied: readonly string[] = []) {
    super(`Migration ${migration} failed on ${shown(key)}: ${reasonOf(cause)}`, {
      hint: 'It was rolled back and nothing of it is recorded. Correct the migration (or the data), then migrate again.',
      details: { target: key, migration, applied },
      cause,
    })
  }
}

/** A migration would lose data, and nobody said that it may. Nothing of it was run. */
export class DestructiveMigrationError extends TenancyError {
  readonly code = 'DESTRUCTIVE_MIGRATION'
  readonly status = 409
  constructor(migration: string, statement: string) {
    super(`${migration} would lose data: ${shown(statement.trim().replace(/\s+/g, ' '))}`, {
      hint: 'If that is meant, give --allow-destructive (allowDestructive), or let the migration declare `override readonly destructive = true`.',
      details: { migration },
    })
  }
}

/** Another run migrates this target, and it did not end in time. */
export class MigrationBusyError extends TenancyError {
  readonly code = 'OPERATION_CONFLICT'
  readonly status = 409
  constructor(key: string, waitedMs: number) {
    super(`Another run migrates ${shown(key)} and did not end within ${waitedMs} ms.`, {
      hint: 'Wait until it has ended, then migrate again.',
      retryAfterSeconds: 5,
    })
  }
}

/** A run of migrations was cut off; the tenants that were done are done. `details.run` is its id. */
export class MigrationInterruptedError extends TenancyError {
  readonly code = 'MIGRATION_INTERRUPTED'
  readonly status = 503
  constructor(run: string, cause?: unknown) {
    super(`The migration run ${run} was interrupted${cause === undefined ? '' : `: ${reasonOf(cause)}`}.`, {
      hint: `Go on with \`tenantkit migrate:resume ${run}\`: what was applied is not applied twice.`,
      details: { run },
      cause,
    })
  }
}

/** Some targets of a run failed; the others were done. `details.failed` says which, and why. */
export class MigrationRunFailedError extends TenancyError {
  readonly code = 'MIGRATION_FAILED'
  readonly status = 500
  constructor(failed: readonly { readonly target: string; readonly reason: string }[], total: number) {
    super(`${failed.length} of ${counted(total, 'tenant')} failed: ${failed.map(({ target }) => target).join(', ')}.`, {
      hint: 'The others were migrated. Correct the reason and migrate again: what was applied is not applied twice.',
      details: { failed },
    })
  }
}

/** What went wrong, in one line and without the SQL that MikroORM writes before it. */
export function reasonOf(error: unknown): string {
  if (error instanceof TenancyError) return error.message
  let inner: unknown = error
  // MikroORM wraps the driver's error and repeats the statement in the message; the innermost error says only what is wrong.
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause
  const text = inner instanceof Error ? inner.message : String(inner)
  return (text.split('\n').findLast(line => line.trim() !== '') ?? 'unknown reason').trim().slice(0, 300)
}
