/** The views of a table: live rows (the default), all rows, deleted rows. */
import { DELETED_FILTER, SOFT_DELETE_FILTER } from './audit-fields.ts'

/** Options of `find`, `findOne`, `count` and their like, with the filters of a view. */
export type WithView<Options extends object> = Omit<Options, 'filters'> & { filters: Record<string, boolean> }

/**
 * Options for a query over all rows, deleted ones included; what is populated as well.
 *
 * @example await em().find(Invoice, {}, withDeleted({ orderBy: { id: 'asc' } }))
 */
export function withDeleted<const Options extends object = object>(options?: Options): WithView<Options> {
  return view(options, { [SOFT_DELETE_FILTER]: false })
}

/**
 * Options for a query over deleted rows alone.
 *
 * @example await em().count(Invoice, {}, onlyDeleted())
 */
export function onlyDeleted<const Options extends object = object>(options?: Options): WithView<Options> {
  return view(options, { [SOFT_DELETE_FILTER]: false, [DELETED_FILTER]: true })
}

function view<Options extends object>(options: Options | undefined, filters: Record<string, boolean>): WithView<Options> {
  const given = (options as { readonly filters?: unknown } | undefined)?.filters
  return { ...(options as Options), filters: { ...(typeof given === 'object' ? given : {}), ...filters } }
}
