/**
 * The one validator of a tenant's fields, used by the API, the command line and the back office alike.
 *
 * | isolation/provisioning | required | refused |
 * |---|---|---|
 * | schema/auto | – | schema_name, connection_alias, connection_string, provisioning_connection_string |
 * | schema/manual | schema_name | connection_alias, connection_string, provisioning_connection_string |
 * | database/auto | – | schema_name, connection_alias, connection_string |
 * | database/manual | connection_alias, connection_string | schema_name |
 */
import type { Isolation } from '../context/context.ts'
import { ValidationFailedError, type FieldError } from '../errors.ts'
import { parseGivenIdentifier, parseNewSlug, tenantName, type Identifier, type Slug } from '../naming.ts'
import { ISOLATIONS, PROVISIONING_MODES, type ProvisioningMode } from './entities.ts'

/** What a new tenant is made from. */
export interface TenantInput {
  readonly slug: string
  readonly name: string
  readonly isolation: Isolation
  /** Default `auto`. */
  readonly provisioning?: ProvisioningMode | undefined
  readonly schemaName?: string | undefined
  readonly connectionAlias?: string | undefined
  readonly connectionString?: string | undefined
  readonly provisioningConnectionString?: string | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
}

/** What may change of a tenant. */
export interface TenantChange {
  readonly name?: string | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  readonly connectionString?: string | undefined
  readonly provisioningConnectionString?: string | undefined
}

/** The checked form of it. */
export interface CheckedTenant {
  readonly slug: Slug
  readonly name: string
  readonly isolation: Isolation
  readonly provisioning: ProvisioningMode
  /** The schema for schema isolation, given or generated. */
  readonly schemaName: Identifier | undefined
  /** The alias for database isolation, given or generated. */
  readonly connectionAlias: string | undefined
  readonly connectionString: string | undefined
  readonly provisioningConnectionString: string | undefined
  readonly metadata: Readonly<Record<string, unknown>>
}

type Field = 'schemaName' | 'connectionAlias' | 'connectionString' | 'provisioningConnectionString'

/** The public (snake_case) names of the structural fields. */
const PATHS: Readonly<Record<Field, string>> = {
  schemaName: 'schema_name',
  connectionAlias: 'connection_alias',
  connectionString: 'connection_string',
  provisioningConnectionString: 'provisioning_connection_string',
}

const MATRIX: Readonly<Record<string, { readonly required: readonly Field[]; readonly refused: readonly Field[] }>> = {
  'schema/auto': { required: [], refused: ['schemaName', 'connectionAlias', 'connectionString', 'provisioningConnectionString'] },
  'schema/manual': { required: ['schemaName'], refused: ['connectionAlias', 'connectionString', 'provisioningConnectionString'] },
  'database/auto': { required: [], refused: ['schemaName', 'connectionAlias', 'connectionString'] },
  'database/manual': { required: ['connectionAlias', 'connectionString'], refused: ['schemaName'] },
}

const ALIAS_MAX = 100
const SSL_MODES = ['disable', 'require', 'no-verify', 'verify-ca', 'verify-full']

/**
 * Checks the fields of a new tenant and fills in what auto mode generates.
 *
 * @throws VALIDATION_FAILED with a field each, RESERVED_NAME
 * @example checkTenant({ slug: 'acme', name: 'Acme', isolation: 'schema' }, 'tenant').schemaName // 'tenant_acme'
 */
export function checkTenant(input: TenantInput, prefix: string): CheckedTenant {
  const provisioning = input.provisioning ?? 'auto'
  const errors: FieldError[] = [...slugErrors(input.slug), ...nameErrors(input.name), ...metadataErrors(input.metadata)]
  if (!isOneOf(ISOLATIONS, input.isolation)) errors.push({ path: 'isolation_mode', message: `must be one of ${ISOLATIONS.join(', ')}` })
  if (!isOneOf(PROVISIONING_MODES, provisioning))
    errors.push({ path: 'provisioning_mode', message: `must be one of ${PROVISIONING_MODES.join(', ')}` })
  const mode = `${input.isolation}/${provisioning}`
  const rule = MATRIX[mode]
  if (rule !== undefined) errors.push(...matrixErrors(input, mode, rule))
  if (errors.length > 0) throw new ValidationFailedError(errors)
  const slug = parseNewSlug(input.slug)
  const generated = tenantName(prefix, slug)
  return {
    slug,
    name: input.name.trim(),
    isolation: input.isolation,
    provisioning,
    schemaName:
      input.isolation === 'schema'
        ? input.schemaName === undefined
          ? generated
          : parseGivenIdentifier(input.schemaName, 'schema_name')
        : undefined,
    connectionAlias:
      input.isolation === 'database' ? (input.connectionAlias === undefined ? generated : parseAlias(input.connectionAlias)) : undefined,
    connectionString: input.connectionString,
    provisioningConnectionString: input.provisioningConnectionString,
    metadata: input.metadata ?? {},
  }
}

/** Checks the fields that can change. @throws VALIDATION_FAILED */
export function checkTenantChange(change: {
  readonly isolation: Isolation
  readonly provisioning: ProvisioningMode
  readonly name?: string | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  readonly connectionString?: string | undefined
  readonly provisioningConnectionString?: string | undefined
}): void {
  const errors: FieldError[] = [
    ...(change.name === undefined ? [] : nameErrors(change.name)),
    ...metadataErrors(change.metadata),
    ...urlErrors('connection_string', change.connectionString),
    ...urlErrors('provisioning_connection_string', change.provisioningConnectionString),
  ]
  if (change.isolation === 'schema') {
    for (const field of ['connectionString', 'provisioningConnectionString'] as const) {
      if (change[field] !== undefined) errors.push({ path: PATHS[field], message: 'must not be set for a schema tenant' })
    }
  }
  if (errors.length > 0) throw new ValidationFailedError(errors)
}

function matrixErrors(
  input: TenantInput,
  mode: string,
  rule: { readonly required: readonly Field[]; readonly refused: readonly Field[] },
): FieldError[] {
  return [
    ...rule.required.filter(field => isBlank(input[field])).map(field => ({ path: PATHS[field], message: `is required for ${mode}` })),
    ...rule.refused
      .filter(field => input[field] !== undefined)
      .map(field => ({ path: PATHS[field], message: `must not be set for ${mode}` })),
    ...urlErrors('connection_string', rule.refused.includes('connectionString') ? undefined : input.connectionString),
    ...urlErrors(
      'provisioning_connection_string',
      rule.refused.includes('provisioningConnectionString') ? undefined : input.provisioningConnectionString,
    ),
  ]
}

function slugErrors(slug: unknown): FieldError[] {
  try {
    parseNewSlug(slug)
    return []
  } catch (error) {
    // A reserved name has a code of its own and is thrown when nothing else is wrong.
    return error instanceof ValidationFailedError ? [...(error.errors ?? [])] : []
  }
}

function nameErrors(name: unknown): FieldError[] {
  const fits = typeof name === 'string' && name.trim().length > 0 && name.length <= 150 && !name.includes('\0')
  return fits ? [] : [{ path: 'name', message: 'must have 1 to 150 characters' }]
}

function metadataErrors(metadata: unknown): FieldError[] {
  if (metadata === undefined) return []
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    return [{ path: 'metadata', message: 'must be an object' }]
  // PostgreSQL's jsonb cannot hold U+0000, nor half of a surrogate pair; JSON.stringify escapes both, and an even number of \\ before is text.
  return /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(JSON.stringify(metadata))
    ? [{ path: 'metadata', message: 'must not hold a zero character or half a character' }]
    : []
}

/** The message never repeats the value: it may hold a password. */
function urlErrors(path: string, value: string | undefined): FieldError[] {
  if (value === undefined) return []
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || !['postgres:', 'postgresql:'].includes(url.protocol))
    return [{ path, message: 'must be a URL postgresql://user:password@host:port/database' }]
  if (url.hostname === '' || url.pathname.length < 2) return [{ path, message: 'must name a host and a database' }]
  return isUsable(url) ? [] : [{ path, message: 'must be encoded rightly and have a known sslmode' }]
}

/** Whether its parts can be read: wrong percent signs, zero bytes and unknown modes of TLS would fail only later. */
function isUsable(url: URL): boolean {
  try {
    const mode = url.searchParams.get('sslmode')
    const parts = [url.username, url.password, url.pathname].map(decodeURIComponent)
    return !parts.some(part => part.includes('\0')) && (mode === null || SSL_MODES.includes(mode))
  } catch {
    return false
  }
}

function parseAlias(value: string): string {
  if (value.length > ALIAS_MAX)
    throw new ValidationFailedError([{ path: 'connection_alias', message: `must have at most ${ALIAS_MAX} characters` }])
  return parseGivenIdentifier(value, 'connection_alias')
}

function isBlank(value: string | undefined): boolean {
  return value === undefined || value.trim() === ''
}

function isOneOf<T extends string>(allowed: readonly T[], value: unknown): value is T {
  return (allowed as readonly unknown[]).includes(value)
}
