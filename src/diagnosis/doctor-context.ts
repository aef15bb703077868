/** What the checks of `doctor` look with. */
import type { EntityManager } from '@mikro-orm/postgresql'
import type { Migrations } from '../migrations/migrations.ts'
import { parseIdentifier, quoteIdentifier } from '../naming.ts'
import type { ResolvedOptions } from '../options.ts'
import { Tenant } from '../tenants/entities.ts'

export interface DoctorContext {
  readonly options: ResolvedOptions
  readonly migrations: Migrations
  readonly control: () => EntityManager
}

/** The registry's table, for SQL. */
export const REGISTRY = `public.${quoteIdentifier(parseIdentifier(Tenant.meta.tableName))}`

/** Rows of a query over the registry, or over the catalog, which any role may read. */
export async function rowsOf<T>(
  { control }: Pick<DoctorContext, 'control'>,
  sql: string,
  parameters: readonly unknown[] = [],
): Promise<T[]> {
  return (await control().execute(sql, [...parameters])) as T[]
}
