/**
 * Whether anything is to be migrated, by one query, whatever the number of tenants: the registry knows of each tenant what it has, and an
 * index leads to those that have something else.
 */
import type { EntityManager } from '@mikro-orm/postgresql'
import type { Isolation } from '../context/context.ts'
import { quoteLiteral } from '../naming.ts'
import { TENANT_TABLE } from '../provisioning/migrating-mark.ts'
import type { SchemaHead } from '../provisioning/tenant-migration.ts'
import { ISOLATIONS, SERVING } from '../tenants/entities.ts'

/** What up-to-date tenants have, by isolation. */
export type Heads = Readonly<Record<Isolation, SchemaHead>>

/** What one look at the control plane tells. */
export interface ControlState {
  /** The shared migrations that are recorded. */
  readonly shared: readonly string[]
  readonly prefix: string | undefined
  /** Whether a serving tenant has not all migrations. */
  readonly behind: boolean
  /** The first serving tenants by slug, one more than are ever listed. */
  readonly listed: readonly string[]
}

/** So many tenants are listed that were up to date already; where there are more, none of them is. */
export const LISTED = 100
/** No such table, or no such column: the control plane is to be migrated first. */
const UNMIGRATED = new Set(['42P01', '42703', '3F000'])

/** Whether a tenant, named `t` in the query, is behind: for those that look at every row anyway. */
export function isBehindSql(heads: Heads): string {
  const each = ISOLATIONS.map(isolation => {
    const { schemaVersion, schemaFingerprint } = heads[isolation]
    const [version, fingerprint] = [nullable(schemaVersion), quoteLiteral(schemaFingerprint)]
    return `(t.isolation_mode = '${isolation}' and (t.schema_version is distinct from ${version} or t.schema_fingerprint is distinct from ${fingerprint}))`
  })
  return `(${each.join(' or ')})`
}

/** The state of the control plane, or `undefined` where it was never migrated, or is too old to tell. One query. */
export async function controlState(em: EntityManager, heads: Heads): Promise<ControlState | undefined> {
  const behind = ISOLATIONS.flatMap(isolation => probes(isolation, heads[isolation]))
  const sql = `select (select coalesce(json_agg("name"), '[]') from public.tenantkit_migration) as shared,
    (select value from public.tenantkit_control where key = 'naming.prefix') as prefix,
    ${behind.map(condition => `exists (select from ${TENANT_TABLE} where ${SERVING} and ${condition})`).join('\n    or ')} as behind,
    (select coalesce(json_agg(slug), '[]') from (
      select slug from ${TENANT_TABLE} where ${SERVING} and status <> 'purged' order by slug limit ${LISTED + 1}) as first) as listed`
  try {
    const [row] = (await em.execute(sql)) as (Omit<ControlState, 'prefix'> & { readonly prefix: string | null })[]
    return { ...row!, prefix: row!.prefix ?? undefined }
  } catch (error) {
    if (UNMIGRATED.has(String((error as { code?: unknown }).code))) return undefined
    throw error
  }
}

/** Each is a range of the index: all rows but those of the head, which may be thousands, are a few. */
function probes(isolation: Isolation, { schemaVersion, schemaFingerprint }: SchemaHead): string[] {
  const of = `isolation_mode = '${isolation}'`
  const fingerprint = quoteLiteral(schemaFingerprint)
  if (schemaVersion === null) return [`${of} and (schema_version is not null or schema_fingerprint is distinct from ${fingerprint})`]
  const head = `(${quoteLiteral(schemaVersion)}, ${fingerprint})`
  return [
    `${of} and (schema_version, schema_fingerprint) < ${head}`,
    `${of} and (schema_version, schema_fingerprint) > ${head}`,
    `${of} and schema_version is null`,
    `${of} and schema_version = ${quoteLiteral(schemaVersion)} and schema_fingerprint is null`,
  ]
}

export function nullable(text: string | null | undefined): string {
  return text == null ? 'null' : quoteLiteral(text)
}
