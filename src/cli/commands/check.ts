/** `tenantkit check`: is the configuration sound, and does the control plane fit it? */
import { environmentFindings } from '../environment-checks.ts'
import { printFindings } from '../findings.ts'
import { middlewareFindings } from '../middleware-order.ts'
import { CommandFailedError } from '../problem.ts'
import type { Session } from '../session.ts'
import type { Register } from './command.ts'

export const check: Register = (program, choose) =>
  program.command(
    'check',
    'Check the configuration and the control plane',
    command =>
      command
        .option('strict', { type: 'boolean', default: false, describe: 'Fail on warnings, too' })
        .example('$0 check --strict', 'in a pipeline, before a deployment'),
    ({ strict }) => choose(session => run(session, strict)),
  )

async function run(session: Session, strict: boolean): Promise<void> {
  const { output, io } = session
  const ofTenancy = await (await session.tenancy()).check()
  const checks = [...ofTenancy, ...environmentFindings(io.env), ...middlewareFindings(session.folder())]
  printFindings(output, checks, strict, (message, details, lines) => {
    const hint = 'Each check says what to do; `tenantkit migrate` brings an old schema up to date.'
    return new CommandFailedError('CHECK_FAILED', message, hint, details, lines)
  })
}
