/** `tenantkit migrate:create`: writes the migration file of a scope from what changed in its entities. */
import { relative } from 'node:path'
import type { Session } from '../session.ts'
import type { Register } from './command.ts'

export const migrateCreate: Register = (program, choose) =>
  program.command(
    'migrate:create',
    'Write a migration file for what changed in the entities',
    command =>
      command
        .option('scope', { choices: ['shared', 'tenant'] as const, demandOption: true, describe: 'Whose tables' })
        .option('name', { type: 'string', requiresArg: true, demandOption: true, describe: 'What the migration does, as add_phone' })
        .example('$0 migrate:create --scope tenant --name add_phone', 'after a change of a tenant entity'),
    ({ scope, name }) => choose(session => create(session, scope, name)),
  )

async function create(session: Session, scope: 'shared' | 'tenant', name: string): Promise<void> {
  const { output, io } = session
  const path = await (await session.tenancy()).createMigration(scope, name)
  output.result({ scope, created: path !== undefined, path: path ?? null }, () => [
    path === undefined ? `Nothing changed in the ${scope} entities.` : `${output.paint('green', 'created')} ${relative(io.cwd, path)}`,
  ])
}
