/**
 * Names: from a tenant's slug to the names of its schema, database and role, and how names reach SQL.
 *
 * Names are parsed, never cleaned up: what does not fit is refused. `a-b` becomes `a_b`; since a slug holds neither `_` nor `--`,
 * no two slugs meet in one name.
 */
import { ReservedNameError, TenantInvalidError, ValidationFailedError } from './errors.ts'

declare const slugBrand: unique symbol
declare const identifierBrand: unique symbol

/** A checked tenant slug. */
export type Slug = string & { readonly [slugBrand]: true }
/** A checked PostgreSQL identifier: `^[a-z][a-z0-9_]{0,62}$`. */
export type Identifier = string & { readonly [identifierBrand]: true }

/** PostgreSQL cuts longer names off silently (NAMEDATALEN - 1), which would let two tenants meet. */
export const IDENTIFIER_MAX_BYTES = 63

/** The longest prefix: with `_` and a slug of 50 characters it makes 63 bytes. */
export const PREFIX_MAX_LENGTH = 12

/** The default of `naming.prefix`. */
export const DEFAULT_PREFIX = 'tenant'

/** The schema in a tenant's own database; its `public` stays empty. */
export const TENANT_SCHEMA = 'tenant' as Identifier

/** The schema of shared tables in the control plane. */
export const SHARED_SCHEMA = 'public' as Identifier

const SLUG = /^[a-z][a-z0-9-]{1,48}[a-z0-9]$/
const IDENTIFIER = /^[a-z][a-z0-9_]{0,62}$/
const PREFIX = /^[a-z][a-z0-9]{0,11}$/

/** Slugs nobody may take: they would read as something else in a URL, a header or a name. */
const RESERVED_SLUGS: ReadonlySet<string> = new Set([
  'admin', 'api', 'auth', 'control-plane', 'default', 'global', 'health', 'information-schema', 'metrics', 'null', 'postgres', 'public',
  'shared', 'system', 'template', 'template0', 'template1', 'tenant', 'tenants', 'undefined', 'www',
]) // prettier-ignore

/** Schemas and aliases nobody may take. */
const RESERVED_IDENTIFIERS: ReadonlySet<string> = new Set([
  'default', 'control', 'control_plane', 'information_schema', 'postgres', 'public', 'shared', 'system', 'template0', 'template1', 'tenant',
]) // prettier-ignore

/** Whether the text has the form of a slug. Says nothing about reserved names. */
export function isSlug(value: unknown): value is Slug {
  return typeof value === 'string' && SLUG.test(value) && !value.includes('--')
}

/**
 * A slug from any input.
 *
 * @throws TENANT_INVALID for anything else, whatever its type or length.
 * @example parseSlug('acme') // 'acme'
 */
export function parseSlug(value: unknown): Slug {
  if (!isSlug(value)) throw new TenantInvalidError(value)
  return value
}

/**
 * A slug for a new tenant: well-formed and not reserved.
 *
 * @throws VALIDATION_FAILED on `slug`, RESERVED_NAME
 */
export function parseNewSlug(value: unknown): Slug {
  if (!isSlug(value)) {
    throw new ValidationFailedError([
      {
        path: 'slug',
        message: 'must have 3 to 50 lower-case letters, digits and single hyphens, begin with a letter and end with a letter or digit',
      },
    ])
  }
  if (RESERVED_SLUGS.has(value)) throw new ReservedNameError('slug', value)
  return value
}

/** Whether the text is an identifier this framework puts into SQL. */
export function isIdentifier(value: unknown): value is Identifier {
  return typeof value === 'string' && IDENTIFIER.test(value)
}

/**
 * An identifier from a name that the code itself made or that was checked before.
 *
 * @throws VALIDATION_FAILED on `path`
 */
export function parseIdentifier(value: unknown, path = 'name'): Identifier {
  if (!isIdentifier(value)) {
    throw new ValidationFailedError([
      { path, message: 'must match ^[a-z][a-z0-9_]{0,62}$: lower-case letters, digits and _, beginning with a letter' },
    ])
  }
  return value
}

/**
 * An identifier given by an operator: well-formed, and neither reserved nor PostgreSQL's own (`pg_…`).
 *
 * @throws VALIDATION_FAILED on `path`, RESERVED_NAME
 */
export function parseGivenIdentifier(value: unknown, path: string): Identifier {
  const name = parseIdentifier(value, path)
  if (RESERVED_IDENTIFIERS.has(name) || name.startsWith('pg_')) throw new ReservedNameError(path, name)
  return name
}

/**
 * A `naming.prefix`.
 *
 * @throws VALIDATION_FAILED on `naming.prefix`
 */
export function parsePrefix(value: unknown): Identifier {
  if (typeof value !== 'string' || !PREFIX.test(value) || value === 'pg') {
    throw new ValidationFailedError([
      { path: 'naming.prefix', message: `must match ${PREFIX.source} (at most ${PREFIX_MAX_LENGTH} characters) and not be "pg"` },
    ])
  }
  return value as Identifier
}

/**
 * The name of an auto tenant's schema, database, role and alias: `<prefix>_<slug with - as _>`, at most 63 bytes.
 *
 * @example tenantName('tenant', parseSlug('a-b')) // 'tenant_a_b'
 */
export function tenantName(prefix: string, slug: Slug): Identifier {
  return parseIdentifier(`${parsePrefix(prefix)}_${slug.replaceAll('-', '_')}`)
}

/** A name of the framework's own beside the tenants' (template, group role): `<prefix>__<what>`. No slug can make a `__`. */
export function frameworkName(prefix: string, what: string): Identifier {
  return parseIdentifier(`${parsePrefix(prefix)}__${what}`)
}

/** A checked identifier, quoted for SQL. */
export function quoteIdentifier(name: Identifier): string {
  return `"${parseIdentifier(name)}"`
}

/** A name that stems from a connection URL (a database or role of the operator's), quoted for SQL by doubling quotes. */
export function quoteForeignName(name: string): string {
  if (name.includes('\0') || name.length === 0)
    throw new ValidationFailedError([{ path: 'name', message: 'must not be empty or hold a zero byte' }])
  return `"${name.replaceAll('"', '""')}"`
}

/** A text literal for the few statements that take no parameters (`COMMENT`, `CREATE ROLE`). */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new ValidationFailedError([{ path: 'text', message: 'must not hold a zero byte' }])
  const doubled = text.replaceAll("'", "''")
  return text.includes('\\') ? ` E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`
}
