/** `tenantkit migrate`. */
import type { Tenancy } from '../../tenancy.ts'
import type { Output } from '../output.ts'
import { CommandFailedError } from '../problem.ts'
import type { Session } from '../session.ts'
import { given, listOf, wholeNumber, type Register } from './command.ts'

type Result = Awaited<ReturnType<Tenancy['migrate']>>
type Scope = 'shared' | 'tenant' | 'all'

interface Arguments {
  readonly scope: Scope
  readonly tenants: readonly string[] | undefined
  readonly concurrency: number | undefined
}

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
          describe: 'How many tenants at once',
        })
        .check(({ scope, tenant }) => {
          if (tenant === undefined) return true
          if (scope === 'shared') throw new Error('--tenant does not go with --scope shared.')
          if (listOf(tenant)?.length === 0) throw new Error('--tenant names no tenant.')
          return true
        })
        .example('$0 migrate', 'everything')
        .example('$0 migrate --tenant acme,globex', 'two tenants'),
    ({ scope, tenant, concurrency }) => {
      const tenants = listOf(tenant)
      choose(session => run(session, { scope: scope ?? (tenants === undefined ? 'all' : 'tenant'), tenants, concurrency }))
    },
  )

async function run(session: Session, { scope, tenants, concurrency }: Arguments): Promise<void> {
  const { output } = session
  output.say(
    `Migrating ${tenants?.join(', ') ?? (scope === 'all' ? 'the control plane and all tenants' : scope === 'shared' ? 'the control plane' : 'all tenants')} …`,
  )
  const result = await session.asSystem(tenancy => tenancy.migrate({ scope, ...given({ tenants, concurrency }) }))
  const failed = result.tenants.filter(({ status }) => status === 'failed')
  const lines = linesOf(output, scope, result, failed.length)
  if (failed.length > 0) {
    const message = `${failed.length} of ${result.tenants.length} tenants failed: ${failed.map(({ tenant }) => tenant).join(', ')}.`
    const hint = 'The others are migrated. Mend the cause and run the command again: it goes on where it stopped.'
    throw new CommandFailedError('MIGRATION_FAILED', message, hint, { ...result, tenants: result.tenants.map(document) }, lines)
  }
  output.result({ shared: result.shared, tenants: result.tenants.map(document) }, () => lines)
}

function linesOf(output: Output, scope: Scope, { shared, tenants }: Result, failed: number): string[] {
  const names = (list: readonly string[]): string => (list.length === 0 ? output.paint('dim', 'up to date') : list.join(', '))
  return [
    ...(scope === 'tenant' ? [] : [`control plane: ${names(shared)}`]),
    ...tenants.map(
      each => `${each.tenant}: ${each.status === 'failed' ? output.paint('red', `FAILED ${reason(each.error)}`) : names(each.names)}`,
    ),
    ...(scope === 'shared' ? [] : [`${tenants.length} tenants, ${tenants.length - failed} succeeded, ${failed} failed`]),
  ]
}

function document({ tenant, status, names, error }: Result['tenants'][number]): Readonly<Record<string, unknown>> {
  return { tenant, status, names, ...(error === undefined ? {} : { error: reason(error) }) }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
