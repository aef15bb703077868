/** `tenantkit tenants …`: the registry and the life of each tenant. */
import { randomBytes } from 'node:crypto'
import type { Argv } from 'yargs'
import type { Tenancy } from '../../tenancy.ts'
import { cell, pairs, table } from '../output.ts'
import type { Session } from '../session.ts'
import { given, wholeNumber, type Choose, type Register } from './command.ts'

type Provision = Parameters<Tenancy['provision']>[0]
type ListQuery = NonNullable<Parameters<Tenancy['listTenants']>[0]>
type Document = Readonly<Record<string, unknown>>
type Admin = { readonly email: string; readonly password: string }

const STATUSES = ['pending', 'provisioning', 'ready', 'suspended', 'archived', 'purging', 'purged', 'failed'] as const
const ISOLATIONS = ['schema', 'database'] as const
const PASSWORD_VARIABLE = 'TENANTKIT_NEW_ADMIN_PASSWORD'
const PASSWORD_BYTES = 18
const PAGE = 200

/** Commands on one tenant that need nothing but its slug. */
const SIMPLE = [
  { command: 'suspend', operation: 'suspend', doing: 'Suspending', done: 'suspended', describe: 'Refuse everyone; the data stays' },
  { command: 'resume', operation: 'resume', doing: 'Resuming', done: 'resumed', describe: 'End a suspension' },
  { command: 'restore', operation: 'restore', doing: 'Restoring', done: 'restored', describe: 'Undo a deletion' },
] as const

export const tenants: Register = (program, choose) =>
  program.command('tenants', 'List, create and manage tenants', group => {
    list(group, choose)
    create(group, choose)
    one(group, 'show', 'Show one tenant', choose, show)
    for (const { command, operation, doing, done, describe } of SIMPLE) {
      one(group, command, describe, choose, (session, slug) => operate(session, slug, operation, doing, done))
    }
    one(group, 'delete', 'Delete softly: refused to everyone, all data kept until it is purged', choose, remove)
    bootstrapAdmin(group, choose)
    purge(group, choose)
    return group.demandCommand(1, 'Name a command of `tenantkit tenants`.')
  })

function one(group: Argv, name: string, describe: string, choose: Choose, work: (session: Session, slug: string) => Promise<void>): void {
  group.command(`${name} <slug>`, describe, slugged, ({ slug }) => choose(session => work(session, slug)))
}

function slugged(command: Argv): Argv<{ slug: string }> {
  return command.positional('slug', { type: 'string', demandOption: true, describe: 'The slug of the tenant' })
}

function list(group: Argv, choose: Choose): void {
  group.command(
    'list',
    'List the live tenants, or those of a status',
    command =>
      command
        .option('status', { choices: STATUSES, describe: 'Only this status; without it: all that are not deleted' })
        .option('isolation', { choices: ISOLATIONS, describe: 'Only this isolation' })
        .option('search', { type: 'string', requiresArg: true, describe: 'A part of the slug or the name' })
        .option('limit', { type: 'number', requiresArg: true, coerce: wholeNumber('limit'), describe: 'At most so many; without it: all' })
        .option('cursor', { type: 'string', requiresArg: true, describe: 'Go on after a page: its next_cursor' }),
    ({ status, isolation, search, limit, cursor }) =>
      choose(async session => {
        const query: ListQuery = given({ status, isolation_mode: isolation, search, cursor })
        const page = await session.asSystem(tenancy =>
          limit === undefined ? allPages(tenancy, query) : tenancy.listTenants({ ...query, limit }),
        )
        session.output.result(page, () => listing(page.items as readonly unknown[] as readonly Document[], page.next_cursor))
      }),
  )
}

async function allPages(tenancy: Tenancy, query: ListQuery): ReturnType<Tenancy['listTenants']> {
  let page = await tenancy.listTenants({ ...query, limit: PAGE })
  const items = [...page.items]
  while (page.next_cursor !== null && page.next_cursor !== undefined) {
    page = await tenancy.listTenants({ ...query, limit: PAGE, cursor: page.next_cursor })
    items.push(...page.items)
  }
  return { ...page, items }
}

function listing(items: readonly Document[], next: string | null | undefined): string[] {
  const columns = ['slug', 'name', 'status', 'isolation_mode', 'provisioning_mode', 'created_at']
  const rows = items.map(item => columns.map(column => cell(item[column])))
  return [
    ...(rows.length === 0
      ? ['No tenants.']
      : table(
          columns.map(each => each.replace('_mode', '')),
          rows,
        )),
    ...(next ? [`More with --cursor ${next}`] : []),
  ]
}

function create(group: Argv, choose: Choose): void {
  group.command(
    'create',
    'Create a tenant, provision and migrate it',
    command =>
      command
        .option('slug', { type: 'string', requiresArg: true, demandOption: true, describe: 'Its public identifier' })
        .option('name', { type: 'string', requiresArg: true, demandOption: true, describe: 'Its name for humans' })
        .option('isolation', {
          choices: ISOLATIONS,
          demandOption: true,
          describe: 'A schema in the control plane, or a database of its own',
        })
        .option('provisioning', { choices: ['auto', 'manual'] as const, describe: 'Who gives names and credentials [default: auto]' })
        .option('schema-name', { type: 'string', requiresArg: true, describe: 'Manual, schema: the name of the schema' })
        .option('connection-alias', { type: 'string', requiresArg: true, describe: 'Database: the name of the connection' })
        .option('connection-string', { type: 'string', requiresArg: true, describe: 'Manual, database: the URL the application uses' })
        .option('provisioning-connection-string', { type: 'string', requiresArg: true, describe: 'The URL of a role that may create' })
        .option('metadata', { type: 'string', requiresArg: true, coerce: jsonObject, describe: 'A JSON object, kept with the tenant' })
        .option('admin-email', { type: 'string', requiresArg: true, describe: 'Make a first administrator' })
        .option('admin-password', { type: 'string', requiresArg: true, implies: 'admin-email', describe: passwordHelp() })
        .example('$0 tenants create --slug acme --name Acme --isolation schema', ''),
    args =>
      choose(async session => {
        const { output } = session
        const admin = adminOf(session, args.adminEmail, args.adminPassword)
        const input = {
          slug: args.slug,
          name: args.name,
          isolation: args.isolation,
          ...given({
            provisioning: args.provisioning,
            schemaName: args.schemaName,
            connectionAlias: args.connectionAlias,
            connectionString: args.connectionString,
            provisioningConnectionString: args.provisioningConnectionString,
            metadata: args.metadata,
            admin: admin?.account,
          }),
        } as Provision
        output.say(`Creating ${args.slug} …`)
        const tenant = await session.asSystem(tenancy => tenancy.provision(input))
        admin?.announce()
        output.result(tenant, () => [`${output.paint('green', 'created')} ${args.slug}`, ...pairs(tenant as unknown as Document)])
      }),
  )
}

async function show(session: Session, slug: string): Promise<void> {
  const tenant = await session.asSystem(tenancy => tenancy.showTenant(slug))
  session.output.result(tenant, () => pairs(tenant as unknown as Document))
}

async function operate(
  session: Session,
  slug: string,
  operation: string,
  doing: string,
  done: string,
  extra: { confirm?: string; admin?: Admin } = {},
): Promise<void> {
  const { output } = session
  output.say(`${doing} ${slug} …`)
  const result = await session.asSystem(tenancy => tenancy.operate(slug, operation as Parameters<Tenancy['operate']>[1], extra))
  output.result(result, () => [
    `${output.paint('green', done)} ${slug} (status: ${result.tenant.status})`,
    ...dropped(result.operation.result),
  ])
}

/** What purging really dropped: the operator reads it here or nowhere. */
function dropped(result: Readonly<Record<string, unknown>>): string[] {
  const resources = result['dropped']
  if (!Array.isArray(resources)) return []
  if (resources.length === 0) return ['nothing was dropped: this framework created none of it']
  return (resources as readonly { readonly kind: string; readonly name: string }[]).map(({ kind, name }) => `dropped the ${kind} ${name}`)
}

async function remove(session: Session, slug: string): Promise<void> {
  const { output } = session
  output.say(`Deleting ${slug} …`)
  const tenant = await session.asSystem(tenancy => tenancy.archive(slug))
  output.result(tenant, () => [`${output.paint('green', 'deleted')} ${slug}; \`tenantkit tenants restore ${slug}\` brings it back`])
}

function bootstrapAdmin(group: Argv, choose: Choose): void {
  group.command(
    'bootstrap-admin <slug>',
    'Make an administrator in a tenant',
    command =>
      slugged(command)
        .option('admin-email', { type: 'string', requiresArg: true, demandOption: true, describe: 'The log-in' })
        .option('admin-password', { type: 'string', requiresArg: true, describe: passwordHelp() }),
    ({ slug, adminEmail, adminPassword }) =>
      choose(async session => {
        const admin = adminOf(session, adminEmail, adminPassword)!
        await operate(session, slug, 'bootstrap_admin', `Making the administrator ${adminEmail} in`, 'administrator made in', {
          admin: admin.account,
        })
        admin.announce()
      }),
  )
}

function purge(group: Argv, choose: Choose): void {
  group.command(
    'purge <slug>',
    'Drop the data of a deleted tenant for good',
    command =>
      slugged(command)
        .option('confirm', { type: 'string', requiresArg: true, describe: 'The phrase "DELETE <slug>"' })
        .example('$0 tenants purge acme --confirm "DELETE acme"', ''),
    ({ slug, confirm }) => choose(session => operate(session, slug, 'purge', 'Purging', 'purged', given({ confirm }))),
  )
}

function passwordHelp(): string {
  return `Better in the variable ${PASSWORD_VARIABLE}; without both, one is made and shown once`
}

/** The first administrator: the password from the flag, else from the environment, else a random one that is shown once. */
function adminOf(
  session: Session,
  email: string | undefined,
  password: string | undefined,
): { account: Admin; announce(): void } | undefined {
  if (email === undefined) return undefined
  const known = password ?? (session.io.env[PASSWORD_VARIABLE] || undefined)
  const account = { email, password: known ?? randomBytes(PASSWORD_BYTES).toString('base64url') }
  const announce = (): void => {
    if (known === undefined) session.output.say(`Password of ${email} (shown only now): ${account.password}`)
  }
  return { account, announce }
}

function jsonObject(text: string | undefined): Document | undefined {
  if (text === undefined) return undefined
  const refused = new Error('--metadata must be a JSON object, as \'{"plan":"gold"}\'.')
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Document
  } catch {
    throw refused
  }
  throw refused
}
