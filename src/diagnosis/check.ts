/** The check of an installation, for start-up, CI and the command line: entities, secrets, migrations. `doctor` looks at the server. */
import { counted } from '../errors.ts'
import type { EntityManager, EntityMetadata } from '@mikro-orm/postgresql'
import { settingsOf } from '../connections/settings.ts'
import { weakKeyIds } from '../crypto/key-ring.ts'
import { assertPrefix } from '../fleet.ts'
import type { Migrations } from '../migrations/migrations.ts'
import type { ResolvedOptions } from '../options.ts'
import type { TenantRoles } from '../strategies/tenant-roles.ts'
import { Tenant } from '../tenants/entities.ts'
import { entityChecks } from './entity-checks.ts'
import { SHOWN, diagnose, fine, some, warning, wrong, type CheckFinding, type Diagnostic, type Observation } from './finding.ts'

export interface CheckOptions {
  readonly options: ResolvedOptions
  readonly migrations: Migrations
  readonly control: () => EntityManager
  readonly metadata: () => readonly EntityMetadata[]
  /** In strict mode. */
  readonly roles: TenantRoles | undefined
}

const MIGRATE = 'Run: npx tenantkit migrate'
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1|\/.*)$/
const GUESSED = ['', 'admin', 'changeme', 'pass', 'password', 'postgres', 'root', 'secret', 'test', '123456', '12345678']

/** Runs every check; one that cannot run is an error with its reason. */
export async function checkTenancy(context: CheckOptions): Promise<readonly CheckFinding[]> {
  const checks: readonly Diagnostic[] = [
    ...entityChecks(context),
    { name: 'secrets', run: async () => secrets(context.options) },
    { name: 'database', run: () => database(context) },
    { name: 'migration files', run: () => migrationFiles(context) },
    { name: 'shared migrations', run: () => sharedMigrations(context) },
    { name: 'tenant migrations', run: () => tenantMigrations(context) },
    ...(context.options.strict ? [{ name: 'strict mode', run: () => strictMode(context) }] : []),
  ]
  return diagnose(checks)
}

/** No message holds a secret, only where it stands. */
function secrets({ given, url, directUrl, provisioningUrl }: ResolvedOptions): Observation[] {
  const weak = weakKeyIds(typeof given.keys === 'function' ? given.keys() : given.keys)
  const urls = new Map([
    ['database.url', url],
    ['database.directUrl', directUrl],
    ['database.provisioningUrl', provisioningUrl],
  ])
  const guessed = [...urls].filter(([, value]) => isGuessed(value)).map(([name]) => name)
  const observations = [
    ...(weak.length === 0 ? [] : [wrong(`the encryption keys ${weak.join(', ')} are not random`, 'Make one: npx tenantkit keys generate')]),
    ...(guessed.length === 0
      ? []
      : [warning(`the password in ${guessed.join(', ')} is easily guessed`, 'Give the role a random password.')]),
  ]
  return observations.length === 0 ? [fine('encryption keys and passwords of the database look random')] : observations
}

/** On the machine itself the server may not ask for one at all. */
function isGuessed(url: string): boolean {
  const { host, user, password = '' } = settingsOf(url)
  return !LOOPBACK.test(host) && (GUESSED.includes(password.toLowerCase()) || password === user)
}

/** A connection whose search_path is not empty is refused when it is opened. */
async function database({ control, options }: CheckOptions): Promise<Observation[]> {
  const [row] = await control().execute<{ version: string }[]>('select pg_catalog.current_setting(?) as version', ['server_version_num'])
  const version = Number(row!.version)
  if (version < 150_000) return [wrong(`PostgreSQL ${version} is too old`, 'Use PostgreSQL 15 or newer.')]
  const whence = options.pooled ? "by the role's setting" : 'from the connection'
  return [fine(`PostgreSQL ${Math.floor(version / 10_000)}, search_path empty ${whence}`)]
}

/** What changed in the entities and stands in no migration yet. Needs no database. */
async function migrationFiles({ migrations }: CheckOptions): Promise<Observation[]> {
  const observations: Observation[] = []
  for (const scope of ['shared', 'tenant'] as const) {
    const { up } = await migrations.planFile(scope)
    if (up.length === 0) continue
    const hint = `Run: npx tenantkit migrate:create --scope ${scope} --name …`
    observations.push(warning(`the ${scope} entities changed, and no migration has it: ${counted(up.length, 'statement')}`, hint))
  }
  return observations.length === 0 ? [fine('the entities are as the migrations make them')] : observations
}

async function sharedMigrations({ migrations }: CheckOptions): Promise<Observation[]> {
  const pending = await migrations.pending(migrations.sharedTarget())
  return [pending.length === 0 ? fine('up to date') : warning(`${pending.length} pending: ${pending.join(', ')}`, MIGRATE)]
}

async function tenantMigrations(context: CheckOptions): Promise<Observation[]> {
  const { options, migrations, control } = context
  if (await lacksRegistry(context)) return [warning('there is no registry yet', MIGRATE)]
  await assertPrefix(control(), options.prefix)
  const head = await migrations.head('tenant')
  const serving = { status: { $in: ['ready', 'suspended'] } } as const
  const behind =
    head === undefined ? { schemaVersion: { $ne: null } } : { $or: [{ schemaVersion: { $ne: head } }, { schemaVersion: null }] }
  const [total, [rows, count]] = await Promise.all([
    control().count(Tenant, serving),
    control().findAndCount(Tenant, { ...serving, ...behind } as never, { fields: ['slug'], orderBy: { slug: 'asc' }, limit: SHOWN }),
  ])
  if (count === 0) return [fine(`${counted(total, 'tenant')} up to date`)]
  const names = (rows as readonly { readonly slug: string }[]).map(({ slug }) => slug)
  return [warning(`${count} of ${counted(total, 'tenant')} ${count === 1 ? 'is' : 'are'} behind: ${some(names, count)}`, MIGRATE)]
}

async function strictMode(context: CheckOptions): Promise<Observation[]> {
  if (await lacksRegistry(context)) return [warning('there is no registry yet', MIGRATE)]
  const missing = (await context.roles?.missing()) ?? []
  if (missing.length === 0) return [fine('every schema tenant has its role')]
  return [wrong(`${counted(missing.length, 'tenant')} without a role, so that nobody enters: ${some(missing)}`, MIGRATE)]
}

async function lacksRegistry({ migrations }: CheckOptions): Promise<boolean> {
  const shared = await migrations.pending(migrations.sharedTarget())
  return shared.some(name => name.startsWith('tenantkit_'))
}
