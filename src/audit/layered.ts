/** Entities whose types have a table each: the fields stand in their parent's. */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import { SqlRefusedError } from '../errors.ts'
import { inheritsAudit, isAudited } from './audit-fields.ts'

/**
 * Refuses a bulk write of a child's table: it reaches neither who nor when, and deletes for good. A flush reaches both tables.
 *
 * @throws SQL_REFUSED
 */
export function refuseLayered(meta: EntityMetadata | undefined, what: string): void {
  if (meta === undefined || !isAudited(meta) || !inheritsAudit(meta)) return
  const root = meta.root.className
  throw new SqlRefusedError(
    `${what} on ${meta.className}, whose audit fields stand in the table of ${root},`,
    `Load the entities, change them, and flush; or write ${root} itself.`,
  )
}
