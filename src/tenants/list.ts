/** Pages of the registry, by keyset over the slug. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { ValidationFailedError } from '../errors.ts'
import { isSlug } from '../naming.ts'
import { ISOLATIONS, TENANT_STATUSES, Tenant } from './entities.ts'
import { toTenantJson, type TenantJson } from './tenant-json.ts'

/** What a list of the registry may be narrowed to. */
export interface TenantQuery {
  /** 1 to 200. Default 50. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
  /** Default: all that are not archived, purging or purged. */
  readonly status?: string | undefined
  readonly isolation_mode?: string | undefined
  /** A part of the slug or the name. */
  readonly search?: string | undefined
}

/** A page of the registry. */
export interface TenantPage {
  readonly items: readonly TenantJson[]
  readonly next_cursor: string | null
}

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 200
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** @throws VALIDATION_FAILED */
export async function listTenants(em: EntityManager, query: TenantQuery): Promise<TenantPage> {
  const limit = query.limit ?? DEFAULT_LIMIT
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw invalid('limit', `must be a whole number from 1 to ${MAX_LIMIT}`)
  const { status, isolation_mode: isolation } = query
  if (status !== undefined && !(TENANT_STATUSES as readonly string[]).includes(status))
    throw invalid('status', `must be one of ${TENANT_STATUSES.join(', ')}`)
  if (isolation !== undefined && !(ISOLATIONS as readonly string[]).includes(isolation))
    throw invalid('isolation_mode', `must be one of ${ISOLATIONS.join(', ')}`)
  const conditions: object[] = [status === undefined ? { deletedAt: null } : { status }]
  if (isolation !== undefined) conditions.push({ isolationMode: isolation })
  // PostgreSQL's text cannot hold it.
  if (query.search?.includes('\0') === true) throw invalid('search', 'must not hold a zero character')
  if (query.search !== undefined && query.search !== '') {
    const pattern = `%${query.search.replace(/[\\%_]/g, '\\$&')}%`
    conditions.push({ $or: [{ slug: { $ilike: pattern } }, { name: { $ilike: pattern } }] })
  }
  if (query.cursor !== undefined) {
    const [slug, id] = decodeCursor(query.cursor)
    conditions.push({ $or: [{ slug: { $gt: slug } }, { slug, id: { $gt: id } }] })
  }
  const rows = await em.find(Tenant, { $and: conditions } as never, {
    filters: false,
    orderBy: { slug: 'asc', id: 'asc' },
    limit: limit + 1,
  })
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return {
    items: page.map(toTenantJson),
    next_cursor: rows.length > limit && last !== undefined ? encodeCursor([last.slug, last.id]) : null,
  }
}

function encodeCursor(key: readonly [string, string]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url')
}

function decodeCursor(cursor: string): [string, string] {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    if (Array.isArray(key) && key.length === 2 && isSlug(key[0]) && UUID.test(String(key[1]))) return [key[0], String(key[1])]
  } catch {
    // Fall through: whatever is wrong with it, it is not a cursor of ours.
  }
  throw invalid('cursor', 'is not a cursor of this list')
}

function invalid(path: string, message: string): ValidationFailedError {
  return new ValidationFailedError([{ path, message }])
}
