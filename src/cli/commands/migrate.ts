/** `tenantkit migrate`. */
import type { Tenancy } from '../../tenancy.ts'
import type { Session } from '../session.ts'
import { given, listOf, wholeNumber, type Register } from './command.ts'
import { planLines } from './migrate-plan.ts'
import { reportMigration, watched, type Scope } from './migrate-report.ts'

type Options = NonNullable<Parameters<Tenancy['migrate']>[0]>

export const migrate: Register = (program, choose) =>
  program.command(
    'migrate',
    'Apply pending migrations to the control plane and the tenants',
    command =>
      command
        .option('scope', {
          choices: ['shared', 'tenant', 'all'] as const,
          describe: 'What to migrate [default: all; tenant with --tenant]',
        })
        .option('tenant', { type: 'string', requiresArg: true, describe: 'Only these tenants: slugs, separated by commas' })
        .option('concurrency', {
          type: 'number',
          requiresArg: true,
          coerce: wholeNumber('concurrency'),
          describe: 'How many tenants at once [default: 8]',
        })
        .option('canary', { type: 'string', requiresArg: true, describe: 'These first; nobody else if one of them fails' })
        .option('waves', { type: 'string', requiresArg: true, describe: 'How many tenants each wave has [default: 10,100,1000]' })
        .option('max-failures', {
          type: 'number',
          requiresArg: true,
          coerce: wholeNumber('max-failures'),
          describe: 'Begin no more when so many have failed',
        })
        .option('allow-destructive', { type: 'boolean', default: false, describe: 'Run statements that lose data, too' })
        .option('plan', { type: 'boolean', default: false, describe: 'Only show what would be done: the SQL, and how many tenants' })
        .check(({ scope, tenant, canary, waves }) => {
          if (listOf(canary)?.length === 0) throw new Error('--canary names no tenant.')
          if (listOf(waves)?.every(size => /^[1-9]\d{0,8}$/.test(size)) === false)
            throw new Error('--waves must be whole numbers of at least 1.')
          if (tenant === undefined) return true
          if (scope === 'shared') throw new Error('--tenant does not go with --scope shared.')
          if (listOf(tenant)?.length === 0) throw new Error('--tenant names no tenant.')
          return true
        })
        .example('$0 migrate', 'everything')
        .example('$0 migrate --tenant acme,globex', 'two tenants')
        .example('$0 migrate --canary acme --max-failures 5', 'acme first; stop when five have failed'),
    ({ scope, tenant, concurrency, canary, waves, maxFailures, allowDestructive, plan }) => {
      const tenants = listOf(tenant)
      const options: Options & { scope: Scope } = {
        scope: scope ?? (tenants === undefined ? 'all' : 'tenant'),
        allowDestructive,
        ...given({ tenants, concurrency, maxFailures, canary: listOf(canary), waves: listOf(waves)?.map(Number) }),
      }
      choose(session => (plan ? show(session, options) : run(session, options)))
    },
  )

async function run(session: Session, options: Options & { scope: Scope }): Promise<void> {
  const { output } = session
  const { scope, tenants } = options
  const what = { all: 'the control plane and all tenants', shared: 'the control plane', tenant: 'all tenants' }[scope]
  output.say(`Migrating ${tenants?.join(', ') ?? what} …`)
  const report = await session.asSystem(tenancy => tenancy.migrate({ ...options, onProgress: watched(output) }))
  reportMigration(output, scope, report)
}

async function show(session: Session, options: Options): Promise<void> {
  const plan = await session.asSystem(tenancy => tenancy.fleet.plan(options))
  session.output.result(plan, () => planLines(session.output, plan))
}
