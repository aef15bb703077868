/** A result cache whose keys hold the tenant: MikroORM's named keys do not, and tenants with databases of their own share one adapter. */
import { MemoryCacheAdapter } from '@mikro-orm/postgresql'
import { currentContext } from '../context/context.ts'

export class TenantResultCache extends MemoryCacheAdapter {
  override get<T = unknown>(name: string): T | undefined {
    return super.get<T>(keyed(name))
  }

  override set(name: string, data: unknown, origin: string, expiration?: number): void {
    super.set(keyed(name), data, origin, expiration)
  }

  override remove(name: string): void {
    super.remove(keyed(name))
  }
}

function keyed(name: string): string {
  return `${currentContext()?.tenant?.id ?? 'control'}|${name}`
}
