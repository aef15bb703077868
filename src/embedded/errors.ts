/** The errors of the embedded server. They are for the operator's terminal; none of them reaches a client. */
import { TenancyError } from '../errors.ts'

const USE_YOUR_OWN = 'Set DATABASE_URL to use a PostgreSQL server of your own.'

/** The embedded server cannot be had here: not installed, no binaries for this platform, or it does not start. */
export class EmbeddedUnavailableError extends TenancyError {
  readonly code = 'EMBEDDED_UNAVAILABLE'
  readonly status = 500
  constructor(message: string, hint?: string, cause?: unknown) {
    super(message, { hint: hint === undefined ? USE_YOUR_OWN : `${hint} Or: ${USE_YOUR_OWN}`, cause })
  }
}

/** The data folder was made by another major version of PostgreSQL, whose files this one cannot read. */
export class EmbeddedVersionMismatchError extends TenancyError {
  readonly code = 'EMBEDDED_VERSION_MISMATCH'
  readonly status = 500
  constructor(cluster: string, found: string, installed: number, packageName: string) {
    super(`The cluster ${cluster} is of PostgreSQL ${found}; the package ${packageName} brings PostgreSQL ${installed}.`, {
      hint: `Install a version ${found}.x of ${packageName}, or move the data with pg_dump and start on an empty data folder.`,
      details: { cluster, found, installed },
    })
  }
}

/** Another process holds the data folder in a way that cannot be shared. Nothing was changed. */
export class EmbeddedInUseError extends TenancyError {
  readonly code = 'EMBEDDED_IN_USE'
  readonly status = 500
  constructor(message: string, hint: string) {
    super(message, { hint })
  }
}
