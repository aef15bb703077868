/** What the first page shows: figures from real queries, of what the visitor may see. */
import type { PageContext } from 'adminjs'
import { CONTROL_ONLY, marksOf } from '../src/classification/scope.ts'
import { currentContext } from '../src/context/context.ts'
import type { Tenancy } from '../src/tenancy.ts'
import type { MikroResource } from './adapter/resource.ts'
import { managerFor } from './adapter/access.ts'
import type { DashboardData, DashboardTile } from './dashboard-data.ts'
import { fleetFigures, tenantFigures, type PastDays } from './dashboard-fleet.ts'
import { personOf } from './person.ts'

/** The handler of the first page. */
export function dashboardOf(tenancy: Tenancy, resources: readonly MikroResource[]) {
  const past: PastDays = new Map()
  return async (_request: unknown, _response: unknown, { currentAdmin }: PageContext): Promise<DashboardData> => {
    const permissions = personOf(currentAdmin)?.permissions ?? []
    const tenant = currentContext()?.tenant
    const tiles = await tilesOf(resources, permissions, tenant === undefined ? 'shared' : 'tenant')
    if (!permissions.includes(tenant === undefined ? 'tenants:read' : 'data:read')) return { tiles }
    // SQL is nobody's who only reads, and the registry is no tenant's: who may see the figures was asked above.
    const asSystem = <T>(work: () => Promise<T>): Promise<T> => tenancy.runAsSystem('admin-dashboard', work)
    if (tenant === undefined) return { tiles, fleet: await asSystem(() => fleetFigures(tenancy, past)) }
    const figures = await asSystem(() => tenantFigures(tenant.id))
    return figures === undefined ? { tiles } : { tiles, tenant: figures }
  }
}

async function tilesOf(
  resources: readonly MikroResource[],
  permissions: readonly string[],
  plane: 'shared' | 'tenant',
): Promise<readonly DashboardTile[]> {
  const shown = resources.filter(({ meta, plane: of }) => {
    const needs = marksOf(meta)[CONTROL_ONLY] === true ? 'tenants:read' : 'data:read'
    return of === plane && permissions.includes(needs)
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
  return tiles
}
