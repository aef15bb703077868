/** Which rows of a shared entity with `visibleTo` the active context sees. */
import { currentContext } from '../context/context.ts'

/** The name of the filter, on by default; `{ filters: { [VISIBILITY_FILTER]: false } }` shows every row. */
export const VISIBILITY_FILTER = 'visibleToTenant'

/** Rows with an empty list are seen by all, others by the tenants listed; without a tenant only the former; under `runAsSystem` all. */
export function visibilityFilter(property: string) {
  return { [VISIBILITY_FILTER]: { name: VISIBILITY_FILTER, cond: () => visibleRows(property), default: true, args: false } }
}

/** The condition for the active context. */
export function visibleRows(property: string): Record<string, unknown> {
  const context = currentContext()
  const everyone = { [property]: { $contained: [] } }
  if (context?.tenant !== undefined) return { $or: [everyone, { [property]: { $contains: [context.tenant.id] } }] }
  return context?.actor?.plane === 'system' ? {} : everyone
}
