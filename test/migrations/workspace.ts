/** A folder with the migrations of the fixture, in which files can import the package by its public name. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { assert } from 'chai'
import { TenancyError } from '../../src/errors.ts'
import { Migrations, type MigrationSettings } from '../../src/migrations/migrations.ts'
import type { MigrationTarget } from '../../src/migrations/runner.ts'
import type { Identifier } from '../../src/naming.ts'
import { REGISTRY_ENTITIES } from '../../src/tenants/entities.ts'
import { query, type TestDatabase } from '../helpers/postgres.ts'
import { application, type Version } from './fixture/entities.ts'

const ROOT = resolve(import.meta.dirname, '../..')

export interface Workspace extends Disposable {
  readonly folder: string
  /** The folder with `shared/` and `tenant/`. */
  readonly path: string
  settings(directUrl: string, version?: Version, more?: Partial<MigrationSettings>): MigrationSettings
  migrations(directUrl: string, version?: Version, more?: Partial<MigrationSettings>): Migrations
  /** Writes a migration by hand; `up` is the body of the method. */
  write(scope: 'shared' | 'tenant', name: string, up: string, more?: string): string
  copy(): Workspace
}

/** A workspace without migrations. */
export function workspace(from?: string): Workspace {
  const folder = mkdtempSync(join(tmpdir(), 'tenantkit-migrations-'))
  const path = join(folder, 'migrations')
  if (from === undefined) mkdirSync(path)
  else cpSync(from, path, { recursive: true })
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'mikro-tenantkit'), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules/@mikro-orm'), join(modules, '@mikro-orm'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'workspace', type: 'module' }))
  writeFileSync(
    join(modules, 'mikro-tenantkit/package.json'),
    JSON.stringify({ name: 'mikro-tenantkit', type: 'module', exports: './index.js' }),
  )
  writeFileSync(
    join(modules, 'mikro-tenantkit/index.js'),
    `export * from ${JSON.stringify(pathToFileURL(join(ROOT, 'src/migrations/migration.ts')).href)}\n`,
  )
  const settings: Workspace['settings'] = (directUrl, version = 'first', more = {}) => ({
    entities: application(version),
    frameworkEntities: [...REGISTRY_ENTITIES],
    directUrl,
    path,
    ...more,
  })
  return {
    folder,
    path,
    settings,
    migrations: (...args) => new Migrations(settings(...args)),
    write(scope, name, up, more = '') {
      const base = scope === 'shared' ? 'SharedMigration' : 'TenantMigration'
      const file = join(path, scope, `${name}.ts`)
      mkdirSync(join(path, scope), { recursive: true })
      writeFileSync(
        file,
        `import { ${base} } from 'mikro-tenantkit'\n\nexport class Written extends ${base} {\n  override async up() {\n${up}\n  }\n${more}}\n`,
      )
      return name
    },
    copy: () => workspace(path),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** A tenant with a schema in the control plane's database; the schema is created. */
export async function schemaTenant(url: string, schema: string): Promise<MigrationTarget> {
  await query(url, `create schema "${schema}"`)
  return { key: schema.replaceAll('_', '-'), scope: 'tenant', isolation: 'schema', schema: schema as Identifier, url }
}

/** A tenant with a database of its own; its schema `tenant` is created. */
export async function databaseTenant(url: string, key: string): Promise<MigrationTarget> {
  await query(url, 'create schema "tenant"')
  return { key, scope: 'tenant', isolation: 'database', schema: 'tenant' as Identifier, url }
}

/** The tables of a schema, sorted. */
export async function tables(url: string, schema: string): Promise<string[]> {
  const rows = await query<{ name: string }>(
    url,
    `select table_name as name from information_schema.tables where table_schema = $1 order by 1`,
    [schema],
  )
  return rows.map(({ name }) => name)
}

/** What is recorded in a schema, sorted. */
export async function recorded(url: string, schema: string): Promise<string[]> {
  return (await query<{ name: string }>(url, `select name from "${schema}".tenantkit_migration order by 1`)).map(({ name }) => name)
}

/** Everything the catalog knows of a schema's tables, with the schema's own name written as `@`. */
export async function catalog(url: string, schema: string): Promise<string[]> {
  const rows = await query<{ line: string }>(
    url,
    `select 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') as line
       from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum where c.relnamespace = $1::text::regnamespace and c.relkind = 'r'
     union all select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) from pg_constraint where connamespace = $1::text::regnamespace
     union all select 'index ' || indexname || ' ' || indexdef from pg_indexes where schemaname = $1::text
     order by 1`,
    [schema],
  )
  return rows.map(({ line }) => line.replaceAll(`${schema}.`, '@.'))
}

/** The foreign keys of a schema as `name -> schema.table`. */
export async function foreignKeys(url: string, schema: string): Promise<string[]> {
  const rows = await query<{ line: string }>(
    url,
    `select k.conname || ' -> ' || n.nspname || '.' || c.relname as line from pg_constraint k
       join pg_class c on c.oid = k.confrelid join pg_namespace n on n.oid = c.relnamespace
      where k.contype = 'f' and k.connamespace = $1::text::regnamespace order by 1`,
    [schema],
  )
  return rows.map(({ line }) => line)
}

/** The error with this code that a promise is rejected with. */
export async function refused(promise: Promise<unknown>, code: string): Promise<TenancyError> {
  const error: unknown = await promise.then(
    value => assert.fail(`gave ${JSON.stringify(value)}`),
    thrown => thrown,
  )
  if (!(error instanceof TenancyError)) throw error
  assert.equal(error.code, code)
  assert.isAbove(error.hint?.length ?? 1, 0)
  return error
}

/** Makes a database empty again, which is much faster than a new one. */
export async function emptied(database: TestDatabase): Promise<void> {
  const rows = await query<{ name: string }>(
    database.url,
    `select nspname as name from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'`,
  )
  const drops = rows.map(({ name }) => `drop schema "${name}" cascade`)
  await query(database.url, [...drops, 'create schema public'].join('; '))
}
