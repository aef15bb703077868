/**
 * What a request may say about its tenant, and the shape of what reads it. No Koa here: a test needs no server.
 */

/** The claims a resolver looks at; those of a verified token fit, and so do any others. */
export interface EvidenceClaims {
  readonly plane?: unknown
  readonly tenant_slug?: unknown
}

/**
 * A request, as far as resolvers see it.
 *
 * Only verified things belong here: `claims` of a token whose signature was checked, `host` as the server trusts it.
 */
export interface RequestEvidence {
  /**
   * The value of a header, all its values when it was repeated, undefined or null when it is not there; it is asked by the lower-case name.
   * An empty string is a value: do not give one for a header that is not there.
   */
  header(name: string): string | readonly string[] | null | undefined
  /** The host the request was sent to, with or without port. */
  readonly host?: string | undefined
  /** The claims of the verified token. */
  readonly claims?: EvidenceClaims | undefined
  /** The session of the application. */
  readonly session?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Finds a tenant identifier in the evidence; undefined (or null) means that there is none.
 *
 * It gives an identifier, never a row: whether such a tenant exists and may be entered is decided elsewhere.
 * It throws `TENANT_INVALID` for evidence that is there and makes no sense; it need not check the slug rule.
 */
export type ResolveTenant = (evidence: RequestEvidence) => string | null | undefined | Promise<string | null | undefined>

/** A named {@link ResolveTenant}; the name stands in the message when two resolvers disagree. */
export interface TenantResolver {
  readonly name: string
  readonly resolve: ResolveTenant
}
