/** What `em.upsert` and `em.upsertMany` are given, without audit fields: an entity that comes back says what is stored. */
import { Utils } from '@mikro-orm/postgresql'
import { withoutAuditFields, type Row } from './attribution.ts'
import { AUDIT_FIELDS } from './audit-fields.ts'

interface UpsertOptions {
  readonly onConflictMergeFields?: readonly string[]
}

/** The arguments: an entity or entities, or an entity's name and data; then options. */
export function upsertArguments(args: readonly unknown[]): unknown[] {
  const [target, data, options] = args
  if (data === undefined) return [withoutAudit(target), data, mergeOptions(options)]
  return [target, withoutAudit(data), mergeOptions(options)]
}

function withoutAudit(given: unknown): unknown {
  if (Array.isArray(given)) return given.map(withoutAudit)
  if (typeof given !== 'object' || given === null) return given
  if (Utils.isEntity(given)) {
    for (const field of AUDIT_FIELDS) if (field in given) (given as Row)[field] = undefined
    return given
  }
  const row: Row = { ...(given as Row) }
  withoutAuditFields(row)
  return row
}

function mergeOptions(options: unknown): unknown {
  const fields = (options as UpsertOptions | undefined)?.onConflictMergeFields
  if (fields === undefined) return options
  return {
    ...(options as UpsertOptions),
    onConflictMergeFields: fields.filter(field => !(AUDIT_FIELDS as readonly string[]).includes(field)),
  }
}
