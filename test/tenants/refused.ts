/** What the tests of a tenant's life share: refusals by their code, and the registry and the catalogs by plain SQL. */
import { assert } from 'chai'
import { TenancyError } from 'mikro-tenantkit'
import { query, serverUrl } from '../helpers/postgres.ts'
import type { TestTenancy } from '../helpers/tenancy.ts'

/** The refusal of a promise or a function; fails when there is none, or another. */
export async function refused(work: Promise<unknown> | (() => unknown), code: string): Promise<TenancyError> {
  const error = await (typeof work === 'function' ? Promise.resolve().then(work) : work).then(
    value => assert.fail(`${code} was expected, and it gave ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof TenancyError)) return assert.fail(`${code} was expected, and it threw ${String(error)}`)
  assert.equal(error.code, code, error.message)
  return error
}

/** The refused fields, sorted. */
export function fieldsOf(error: TenancyError): readonly string[] {
  return (error.errors ?? []).map(({ path }) => path).toSorted()
}

/** The newest row of a slug, as it stands in the table. */
export async function rowOf(kit: TestTenancy, slug: string): Promise<Record<string, unknown> | undefined> {
  return (
    await query(kit.url, 'select * from public.tenantkit_tenant where slug = $1 order by created_at desc, id desc limit 1', [slug])
  )[0]
}

/** The tables of a schema, sorted. */
export async function tablesOf(url: string, schema: string): Promise<readonly string[]> {
  const rows = await query<{ name: string }>(url, 'select tablename as name from pg_tables where schemaname = $1 order by 1', [schema])
  return rows.map(({ name }) => name)
}

export async function hasSchema(url: string, schema: string): Promise<boolean> {
  return (await query(url, 'select 1 from pg_namespace where nspname = $1', [schema])).length > 0
}

export async function hasDatabase(name: string): Promise<boolean> {
  return (await query(serverUrl(), 'select 1 from pg_database where datname = $1', [name])).length > 0
}

export async function hasRole(name: string): Promise<boolean> {
  return (await query(serverUrl(), 'select 1 from pg_roles where rolname = $1', [name])).length > 0
}
