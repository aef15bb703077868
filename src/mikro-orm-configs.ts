/** The default export of `mikro-orm.config.ts`: what the stock `mikro-orm` command line reads. */
import { TenantNotFoundError } from './errors.ts'
import { ormConfigs } from './migrations/orm-configs.ts'
import type { MigrationTarget } from './migrations/runner.ts'
import { classifyOptions, resolveUrl, type TenancyOptions } from './options.ts'
import { createTenancy } from './tenancy.ts'
import { REGISTRY_ENTITIES } from './tenants/entities.ts'

/** A configuration for a context, made when the command line asks for it. */
export type OrmConfigFactory = (contextName: string) => Promise<unknown>

/**
 * The configurations of the stock command line, by context: `default` (shared), `tenant` (all schema tenants), `db:<slug>`.
 *
 * They are made when they are asked for, so that importing the file connects nowhere.
 *
 * @example export default mikroOrmConfigs(options)
 */
export function mikroOrmConfigs(options: TenancyOptions): OrmConfigFactory[] {
  return [
    async contextName => {
      const url = await resolveUrl(options.database)
      const directUrl = options.database.directUrl === undefined || options.database.directUrl === '' ? url : options.database.directUrl
      const settings = {
        entities: classifyOptions(options),
        frameworkEntities: [...REGISTRY_ENTITIES],
        directUrl,
        path: options.migrations.path,
      }
      const targets = () => withTargets(options, url)
      const configs = ormConfigs(settings, {
        listTenants: async () => (await targets()).filter(target => target.isolation === 'schema'),
        tenantTarget: async slug => targetOf(await targets(), slug),
      })
      for (const config of configs) {
        const found: unknown = typeof config === 'function' ? await (config as OrmConfigFactory)(contextName) : config
        if ((found as { contextName?: string } | undefined)?.contextName === contextName) return found
      }
      return undefined
    },
  ]
}

async function withTargets(options: TenancyOptions, url: string): Promise<readonly MigrationTarget[]> {
  // The server that the URL leads to must outlive this look into the registry.
  const tenancy = await createTenancy({ ...options, database: { ...options.database, url }, close: () => Promise.resolve() })
  try {
    return await tenancy.migrationTargets()
  } finally {
    await tenancy.close()
  }
}

function targetOf(targets: readonly MigrationTarget[], slug: string): MigrationTarget {
  const target = targets.find(candidate => candidate.key === slug)
  if (target === undefined) throw new TenantNotFoundError(slug)
  return target
}
