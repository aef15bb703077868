/** `tenantkit migrate:create`: writes the migration file of a scope from what changed in its entities. */
import { counted } from '../../errors.ts'
import { relative } from 'node:path'
import type { Session } from '../session.ts'
import type { Register } from './command.ts'

type Plane = 'shared' | 'tenant'

/** What became of one scope. */
interface Created {
  readonly scope: Plane
  readonly created: boolean
  readonly path: string | null
  /** The statements, and those that revert them; the file has them as calls. */
  readonly up: readonly string[]
  readonly down: readonly string[]
}

interface Arguments {
  readonly scope: Plane | 'all'
  readonly name: string
  readonly dryRun: boolean
  readonly allowDestructive: boolean
}

export const migrateCreate: Register = (program, choose) =>
  program.command(
    'migrate:create',
    'Write a migration file for what changed in the entities',
    command =>
      command
        .option('scope', {
          choices: ['shared', 'tenant', 'all'] as const,
          demandOption: true,
          describe: 'Whose tables; with all, a file for each scope that changed',
        })
        .option('name', { type: 'string', requiresArg: true, describe: 'What the migration does, as add_phone' })
        .option('dry-run', { type: 'boolean', default: false, describe: 'Only show the statements; write nothing' })
        .option('allow-destructive', { type: 'boolean', default: false, describe: 'Write it even if data would be lost' })
        .check(({ name, dryRun }) => {
          if (name === undefined && !dryRun) throw new Error('Missing required argument: name')
          return true
        })
        .example('$0 migrate:create --scope tenant --name add_phone', 'after a change of a tenant entity')
        .example('$0 migrate:create --scope all --dry-run', 'what would be written'),
    ({ scope, name = '', dryRun, allowDestructive }) => choose(session => create(session, { scope, name, dryRun, allowDestructive })),
  )

async function create(session: Session, { scope, name, dryRun, allowDestructive }: Arguments): Promise<void> {
  const { output, io } = session
  const tenancy = await session.tenancy()
  const files: Created[] = []
  const plans: { readonly plane: Plane; readonly up: readonly string[]; readonly down: readonly string[] }[] = []
  // All of them before the first is written: what is refused leaves nothing behind.
  for (const plane of scope === 'all' ? (['shared', 'tenant'] as const) : [scope])
    plans.push({ plane, ...(await tenancy.planMigration(plane, dryRun ? undefined : { allowDestructive })) })
  for (const { plane, up, down } of plans) {
    const path = dryRun ? undefined : await tenancy.createMigration(plane, name, { allowDestructive })
    files.push({ scope: plane, created: path !== undefined, path: path ?? null, up, down })
  }
  const document =
    scope === 'all' ? { scope, dry_run: dryRun, created: files.some(file => file.created), files } : { ...files[0]!, dry_run: dryRun }
  output.result(document, () =>
    files.flatMap(file => {
      if (file.up.length === 0) return [`Nothing changed in the ${file.scope} entities.`]
      const title = dryRun
        ? `${file.scope}: ${counted(file.up.length, 'statement')} would be written`
        : `${output.paint('green', 'created')} ${relative(io.cwd, file.path!)} (${counted(file.up.length, 'statement')})`
      return dryRun ? [title, ...file.up.map(sql => `  ${sql};`)] : [title]
    }),
  )
}
