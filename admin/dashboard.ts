/** What the first page shows: counts from real queries, of what the visitor may see. */
import type { PageContext } from 'adminjs'
import { CONTROL_ONLY, marksOf } from '../src/classification/scope.ts'
import { currentContext } from '../src/context/context.ts'
import type { Tenancy } from '../src/tenancy.ts'
import type { MikroResource } from './adapter/resource.ts'
import { managerFor } from './adapter/access.ts'
import { personOf } from './person.ts'

/** A number on the first page. */
export interface DashboardTile {
  readonly label: string
  readonly value: number
  readonly resource: string
}

/** What the first page is given. */
export interface DashboardData {
  readonly tiles: readonly DashboardTile[]
}

/** The handler of the first page. */
export function dashboardOf(_tenancy: Tenancy, resources: readonly MikroResource[]) {
  return async (_request: unknown, _response: unknown, { currentAdmin }: PageContext): Promise<DashboardData> => {
    const person = personOf(currentAdmin)
    const plane = currentContext()?.tenant === undefined ? 'shared' : 'tenant'
    const shown = resources.filter(({ meta, plane: of }) => {
      const needs = marksOf(meta)[CONTROL_ONLY] === true ? 'tenants:read' : 'data:read'
      return of === plane && person?.permissions.includes(needs) === true
    })
    const tiles: DashboardTile[] = []
    // One after the other: a page must not take every connection of the pool.
    for (const { meta } of shown) {
      const filters = plane === 'shared' ? { visibleToTenant: false } : {}
      tiles.push({
        label: meta.className,
        value: await managerFor(meta, 'read').count(meta.class, {}, { filters }),
        resource: meta.className,
      })
    }
    return { tiles }
  }
}
