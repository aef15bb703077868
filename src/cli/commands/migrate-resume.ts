/** `tenantkit migrate:resume <run>`: goes on with a run. */
import type { Register } from './command.ts'
import { reportMigration, watched } from './migrate-report.ts'

export const migrateResume: Register = (program, choose) =>
  program.command(
    'migrate:resume <run>',
    'Go on with a run that was cut off or stopped; what failed is tried again',
    command => command.positional('run', { type: 'string', demandOption: true, describe: 'Its id, as migrate:status shows it' }),
    ({ run }) =>
      choose(async session => {
        const { output } = session
        output.say(`Going on with the run ${run} …`)
        const report = await session.asSystem(tenancy => tenancy.fleet.resume(run, { onProgress: watched(output) }))
        reportMigration(output, 'tenant', report)
      }),
  )
