/** The EntityManager of this framework: in a tenant it is pinned to that tenant's schema; in the control plane it has none. */
import { EntityManager } from '@mikro-orm/postgresql'
import { CrossTenantEntityError } from '../errors.ts'
import { TenantDriver, tenantDriverOf } from './tenant-driver.ts'

/** What MikroORM's constructor takes; named here because the subclass passes it on untouched. */
type ConstructorArguments = ConstructorParameters<typeof EntityManager>

export class TenantEntityManager extends EntityManager {
  constructor(...args: ConstructorArguments) {
    super(...args)
    const driver: unknown = args[1]
    if (driver instanceof TenantDriver) {
      // `name` is readonly in the typings; MikroORM looks transactions up by it, and runs must not find each other's.
      Object.defineProperty(this, 'name', { value: driver.contextName, enumerable: true })
      super.schema = driver.tenant.schema
    }
  }

  override get schema(): string | undefined {
    return super.schema
  }

  /** @throws CROSS_TENANT_ENTITY for any other schema than its own. */
  override set schema(schema: string | null | undefined) {
    const own = tenantDriverOf(this)?.tenant.schema
    if (schema != null && schema !== own) {
      throw new CrossTenantEntityError(
        `The schema of this EntityManager is ${own === undefined ? 'none' : `"${own}"`} and cannot become ${JSON.stringify(schema)}.`,
        'To work in another tenant, open a run there: tenancy.run(slug, work).',
      )
    }
  }

  /** Before MikroORM computes anything: `onCreate` would complain of the missing actor first. */
  override async flush(): Promise<void> {
    tenantDriverOf(this)?.assertActive()
    await super.flush()
  }

  protected override prepareOptions<Options extends object>(options: Options): Options {
    tenantDriverOf(this)?.assertActive()
    return super.prepareOptions(options as never)
  }
}
