/** A fleet of tenants of both isolations, and what tests write and read there with plain SQL. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createTenancy, type Tenancy, type TenancyOptions } from 'mikro-tenantkit'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { testTenancy, type TestTenancy } from '../helpers/tenancy.ts'

export interface Scene extends AsyncDisposable {
  readonly kit: TestTenancy
  readonly tenancy: Tenancy
  readonly slugs: readonly string[]
  /** Where a tenant's tables are. */
  place(slug: string): { readonly url: string; readonly schema: string }
  /** Rows of a query in a tenant; `@` stands for its schema. */
  in<T extends object>(slug: string, sql: string): Promise<T[]>
  /** What a tenant has recorded, sorted. */
  recorded(slug: string): Promise<readonly string[]>
  columns(slug: string, table: string): Promise<readonly string[]>
  /** Writes a tenant migration; `up` is the body of its method. Its name sorts by `number`. */
  write(number: number, up: string, more?: string): string
  remove(name: string): void
  migrate(options?: Parameters<Tenancy['migrate']>[0]): ReturnType<Tenancy['migrate']>
  /** Another tenancy on the same control plane, as in another process. */
  another(change?: Partial<TenancyOptions>): Promise<Tenancy>
}

/** `s0`, `s1` … by schema and `d0`, `d1` … by database. */
export async function scene(schemas: number, databases: number, extra: Partial<TenancyOptions> = {}): Promise<Scene> {
  const kit = await testTenancy(extra)
  const { tenancy } = kit
  const names = (letter: string, count: number) => Array.from({ length: count }, (_, index) => `${letter}${index}x`)
  const slugs = [...names('s', schemas), ...names('d', databases)]
  const queue = [...slugs]
  const lane = async (): Promise<void> => {
    for (let slug = queue.shift(); slug !== undefined; slug = queue.shift()) {
      const isolation = slug.startsWith('s') ? 'schema' : 'database'
      const input = { slug, name: slug, isolation } as const
      await kit.asSystem(() => tenancy.provision(input))
    }
  }
  await Promise.all(Array.from({ length: 4 }, lane))
  const others: Tenancy[] = []
  const place = (slug: string) => {
    const name = `${kit.prefix}_${slug.replaceAll('-', '_')}`
    return slug.startsWith('d') ? { url: databaseUrl(name), schema: 'tenant' } : { url: kit.url, schema: name }
  }
  const inside = <T extends object>(slug: string, sql: string): Promise<T[]> =>
    query(place(slug).url, sql.replaceAll('@', `"${place(slug).schema}"`)) as Promise<T[]>
  return {
    kit,
    tenancy,
    slugs,
    place,
    in: inside,
    recorded: async slug =>
      (await inside<{ name: string }>(slug, 'select name from @.tenantkit_migration order by 1')).map(({ name }) => name),
    columns: async (slug, table) =>
      (
        await query<{ name: string }>(
          place(slug).url,
          'select column_name as name from information_schema.columns where table_schema = $1 and table_name = $2 order by 1',
          [place(slug).schema, table],
        )
      ).map(({ name }) => name),
    write(number, up, more = '') {
      const name = `Migration9${String(number).padStart(13, '0')}`
      const text = `import { TenantMigration } from 'mikro-tenantkit'\n\nexport class Written extends TenantMigration {\n${more}\n  override async up() {\n${up}\n  }\n}\n`
      writeFileSync(join(kit.options.migrations.path, 'tenant', `${name}.ts`), text)
      return name
    },
    remove: name => rmSync(join(kit.options.migrations.path, 'tenant', `${name}.ts`)),
    migrate: options => kit.asSystem(() => tenancy.migrate(options)),
    async another(change = {}) {
      const made = await createTenancy({ ...kit.options, ...change })
      others.push(made)
      return made
    },
    async [Symbol.asyncDispose]() {
      for (const other of others) await other.close()
      await kit[Symbol.asyncDispose]()
    },
  }
}

/** A column and an index on it, as SQL calls of a migration. */
export function addColumn(name: string, table = 'author'): string {
  return `    this.addSql('alter table "${table}" add column "${name}" int null')
    this.addSql('create index "${table}_${name}_index" on "${table}" ("${name}")')`
}
