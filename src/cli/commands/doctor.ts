/** `tenantkit doctor`: what is wrong on the server, in the catalog, between the registry and what it speaks of? */
import { printFindings } from '../findings.ts'
import { CommandFailedError } from '../problem.ts'
import type { Session } from '../session.ts'
import type { Register } from './command.ts'

export const doctor: Register = (program, choose) =>
  program.command(
    'doctor',
    'Examine the server, the catalog and the registry',
    command =>
      command
        .option('strict', { type: 'boolean', default: false, describe: 'Fail on warnings, too' })
        .example('$0 doctor', 'changes nothing, and says what would help'),
    ({ strict }) => choose(session => run(session, strict)),
  )

async function run(session: Session, strict: boolean): Promise<void> {
  const checks = await session.asSystem(tenancy => tenancy.doctor())
  printFindings(session.output, checks, strict, (message, details, lines) => {
    return new CommandFailedError('DOCTOR_FAILED', message, 'Each finding says what to do. Nothing was changed.', details, lines)
  })
}
