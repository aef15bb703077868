/** `tenantkit migrate:down`: reverts migrations in tenants that are named. */
import { counted } from '../../errors.ts'
import type { Session } from '../session.ts'
import { CommandFailedError } from '../problem.ts'
import { given, listOf, type Register } from './command.ts'

/** What became of one tenant. */
interface Reverted {
  readonly tenant: string
  readonly status: 'reverted' | 'failed'
  readonly names: readonly string[]
  readonly error?: string
}

export const migrateDown: Register = (program, choose) =>
  program.command(
    'migrate:down',
    'Revert the last migration of a tenant',
    command =>
      command
        .option('tenant', { type: 'string', requiresArg: true, demandOption: true, describe: 'Slugs, separated by commas' })
        .option('to', { type: 'string', requiresArg: true, describe: 'Revert all that came after this migration; 0 reverts everything' })
        .check(({ tenant }) => {
          if (listOf(tenant)?.length === 0) throw new Error('--tenant names no tenant.')
          return true
        })
        .example('$0 migrate:down --tenant acme', 'the last one, in one tenant'),
    ({ tenant, to }) => choose(session => run(session, listOf(tenant)!, to)),
  )

async function run(session: Session, slugs: readonly string[], to: string | undefined): Promise<void> {
  const { output } = session
  const tenants: Reverted[] = []
  for (const tenant of slugs) {
    output.say(`Reverting in ${tenant} …`)
    try {
      const names = await session.asSystem(tenancy => tenancy.fleet.down(tenant, given({ to })))
      tenants.push({ tenant, status: 'reverted', names })
    } catch (error) {
      // One tenant alone is told all there is to tell.
      if (slugs.length === 1) throw error
      tenants.push({ tenant, status: 'failed', names: [], error: error instanceof Error ? error.message : String(error) })
    }
  }
  const lines = tenants.map(({ tenant, names, error }) =>
    error === undefined
      ? `${tenant}: ${names.length === 0 ? 'nothing to revert' : `reverted ${names.join(', ')}`}`
      : `${tenant}: ${output.paint('red', `FAILED ${error}`)}`,
  )
  const failed = tenants.filter(({ status }) => status === 'failed').map(({ tenant }) => tenant)
  if (failed.length > 0) {
    const message = `${failed.length} of ${counted(tenants.length, 'tenant')} failed: ${failed.join(', ')}.`
    throw new CommandFailedError(
      'MIGRATION_FAILED',
      message,
      'The others were reverted. `tenantkit migrate` applies it again.',
      { tenants },
      lines,
    )
  }
  output.result({ tenants }, () => lines)
}
