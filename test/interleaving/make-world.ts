/** Tenants of both kinds for the interleaving test, with rows in the control plane that some of them see. */
import { controlEm, type TenancyOptions } from 'mikro-tenantkit'
import { databaseUrl } from '../helpers/postgres.ts'
import { Country, Notice, testTenancy, type TestTenancy } from '../helpers/tenancy.ts'
import { FOR_ALL, SHARED_COUNTRIES } from './data-operations.ts'
import type { Place, World } from './world.ts'

/** How many tenants, and how few connections for them. */
export interface WorldOptions {
  readonly schemas: number
  readonly databases: number
  /** Pools of database tenants that may be open at once. */
  readonly slots: number
  readonly pool: { readonly shared: number; readonly perTenant: number }
  readonly extra?: Partial<TenancyOptions>
}

const AT_A_TIME = 4

/** Provisions a world of its own; disposing the kit drops all of it. */
export async function makeWorld(options: WorldOptions): Promise<{ readonly kit: TestTenancy; readonly world: World }> {
  const { schemas, databases, slots, pool, extra } = options
  const kit = await testTenancy({ ...extra, pool: { ...pool, maxTenants: slots, waitMs: 30_000, ...extra?.pool } })
  const { tenancy } = kit
  const wanted = [
    ...Array.from({ length: schemas }, (_, index) => ({ slug: `s-${index}`, isolation: 'schema' as const })),
    ...Array.from({ length: databases }, (_, index) => ({ slug: `d-${index}`, isolation: 'database' as const })),
  ]
  const places: Place[] = []
  await kit.asSystem(async () => {
    const queue = [...wanted]
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const { slug, isolation } = next
        await tenancy.provision({ slug, name: slug, isolation })
        const { ref } = (await tenancy.find(slug))!
        const url = isolation === 'schema' ? kit.url : databaseUrl(`${kit.prefix}_${slug.replaceAll('-', '_')}`)
        places.push({ id: ref.id, slug, isolation, url, schema: ref.schema })
      }
    }
    await Promise.all(Array.from({ length: AT_A_TIME }, worker))
    await fillControlPlane(places)
  })
  places.sort((a, b) => a.slug.localeCompare(b.slug))
  return { kit, world: { tenancy, controlUrl: kit.url, places, slots, pool } }
}

/** Shared rows: countries, a notice for all, and notices that one tenant each may see. */
async function fillControlPlane(places: readonly Place[]): Promise<void> {
  const manager = controlEm()
  for (let index = 0; index < SHARED_COUNTRIES; index++) manager.create(Country, { code: `C${index}` })
  manager.create(Notice, { text: FOR_ALL, allowedTenants: [] })
  for (const { id, slug } of places) {
    if (Number(slug.slice(2)) % 2 === 0) manager.create(Notice, { text: `${slug}:notice`, allowedTenants: [id] })
  }
  await manager.flush()
}
