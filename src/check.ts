/** The check of an installation, for start-up, CI and the command line. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { scopeOf, nameOf } from './classification/classify.ts'
import { assertPrefix } from './fleet.ts'
import { TenancyError } from './errors.ts'
import type { Migrations } from './migrations/migrations.ts'
import { reasonOf } from './provisioning/steps.ts'
import type { ResolvedOptions } from './options.ts'
import type { TenantRoles } from './strategies/tenant-roles.ts'
import { REGISTRY_ENTITIES, Tenant } from './tenants/entities.ts'

/** One thing that was looked at. */
export interface CheckFinding {
  readonly name: string
  readonly ok: boolean
  readonly level: 'ok' | 'warning' | 'error'
  readonly message: string
  readonly hint?: string
}

export interface CheckOptions {
  readonly options: ResolvedOptions
  readonly migrations: Migrations
  readonly control: () => EntityManager
  /** In strict mode. */
  readonly roles: TenantRoles | undefined
}

/** Runs every check; one that cannot run is an error with its reason. */
export async function checkTenancy(context: CheckOptions): Promise<readonly CheckFinding[]> {
  const checks: readonly (readonly [string, () => Promise<CheckFinding>])[] = [
    ['entities', () => Promise.resolve(entities(context))],
    ['database', () => database(context)],
    ['shared migrations', () => sharedMigrations(context)],
    ['tenant migrations', () => tenantMigrations(context)],
    ...(context.options.strict ? [['strict mode', () => strictMode(context)] as const] : []),
  ]
  const findings: CheckFinding[] = []
  for (const [name, check] of checks) {
    findings.push(await check().catch((error: unknown) => failed(name, error)))
  }
  return findings
}

function failed(name: string, error: unknown): CheckFinding {
  const hint = error instanceof TenancyError ? error.hint : undefined
  return { name, ok: false, level: 'error', message: reasonOf(error), ...(hint === undefined ? {} : { hint }) }
}

function entities({ options }: CheckOptions): CheckFinding {
  const count = (scope: string) => options.entities.all.filter(entity => scopeOf(entity) === scope).length
  const ours: readonly unknown[] = REGISTRY_ENTITIES
  const unaudited = options.entities.all
    .filter(entity => !entity.meta.embeddable && !('createdBy' in entity.properties) && !ours.includes(entity))
    .map(nameOf)
  const message = `${count('shared')} shared, ${count('tenant')} tenant, ${count('both') / 2} both`
  if (unaudited.length === 0) return { name: 'entities', ok: true, level: 'ok', message }
  return {
    name: 'entities',
    ok: true,
    level: 'warning',
    message: `${message}; without audit fields: ${unaudited.join(', ')}`,
    hint: 'Define them with sharedEntity, tenantEntity or bothEntity.',
  }
}

/** A connection whose search_path is not empty is refused when it is opened. */
async function database({ control, options }: CheckOptions): Promise<CheckFinding> {
  const [row] = await control().execute<{ version: string }[]>('select pg_catalog.current_setting(?) as version', ['server_version_num'])
  const version = Number(row!.version)
  if (version < 150_000)
    return { name: 'database', ok: false, level: 'error', message: `PostgreSQL ${version} is too old`, hint: 'Use PostgreSQL 15 or newer.' }
  const whence = options.pooled ? "by the role's setting" : 'from the connection'
  return { name: 'database', ok: true, level: 'ok', message: `PostgreSQL ${Math.floor(version / 10_000)}, search_path empty ${whence}` }
}

async function sharedMigrations({ migrations }: CheckOptions): Promise<CheckFinding> {
  const pending = await migrations.pending(migrations.sharedTarget())
  if (pending.length === 0) return { name: 'shared migrations', ok: true, level: 'ok', message: 'up to date' }
  return {
    name: 'shared migrations',
    ok: true,
    level: 'warning',
    message: `${pending.length} pending: ${pending.join(', ')}`,
    hint: 'Run: npx tenantkit migrate',
  }
}

async function tenantMigrations({ options, migrations, control }: CheckOptions): Promise<CheckFinding> {
  const shared = await migrations.pending(migrations.sharedTarget())
  if (shared.some(name => name.startsWith('tenantkit_'))) {
    return {
      name: 'tenant migrations',
      ok: true,
      level: 'warning',
      message: 'there is no registry yet',
      hint: 'Run: npx tenantkit migrate',
    }
  }
  await assertPrefix(control(), options.prefix)
  const head = await migrations.head('tenant')
  const rows = await control().find(Tenant, { status: { $in: ['ready', 'suspended'] } }, { fields: ['slug', 'schemaVersion'] })
  const behind = rows.filter(row => row.schemaVersion !== (head ?? null))
  if (behind.length === 0) return { name: 'tenant migrations', ok: true, level: 'ok', message: `${rows.length} tenants up to date` }
  const some = behind
    .slice(0, 5)
    .map(row => row.slug)
    .join(', ')
  return {
    name: 'tenant migrations',
    ok: true,
    level: 'warning',
    message: `${behind.length} of ${rows.length} tenants are behind: ${some}`,
    hint: 'Run: npx tenantkit migrate',
  }
}

async function strictMode({ migrations, roles }: CheckOptions): Promise<CheckFinding> {
  const shared = await migrations.pending(migrations.sharedTarget())
  if (shared.some(name => name.startsWith('tenantkit_')))
    return { name: 'strict mode', ok: true, level: 'warning', message: 'there is no registry yet', hint: 'Run: npx tenantkit migrate' }
  const missing = (await roles?.missing()) ?? []
  if (missing.length === 0) return { name: 'strict mode', ok: true, level: 'ok', message: 'every schema tenant has its role' }
  return {
    name: 'strict mode',
    ok: false,
    level: 'error',
    message: `${missing.length} tenants have no role and cannot be entered: ${missing.slice(0, 5).join(', ')}`,
    hint: 'Run: npx tenantkit migrate',
  }
}
