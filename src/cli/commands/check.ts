/** `tenantkit check`: is the configuration sound, and does the control plane fit it? */
import type { Tenancy } from '../../tenancy.ts'
import type { Output } from '../output.ts'
import { CommandFailedError } from '../problem.ts'
import type { Session } from '../session.ts'
import type { Register } from './command.ts'

type Check = Awaited<ReturnType<Tenancy['check']>>[number]

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
  const { output } = session
  const checks = await (await session.tenancy()).check()
  const count = (level: Check['level']): number => checks.filter(each => each.level === level).length
  const [errors, warnings] = [count('error'), count('warning')]
  const summary = `${checks.length} checks, ${errors} errors, ${warnings} warnings`
  const lines = (): string[] => [...checks.flatMap(each => linesOf(output, each)), summary]
  if (errors > 0 || (strict && warnings > 0)) {
    const hint = 'Each check says what to do; `tenantkit migrate` brings an old schema up to date.'
    throw new CommandFailedError('CHECK_FAILED', `${summary}${strict ? ' (--strict)' : ''}.`, hint, { checks }, lines())
  }
  output.result({ ok: errors === 0, errors, warnings, checks }, lines)
}

function linesOf(output: Output, { level, name, message, hint }: Check): string[] {
  const sign = { ok: output.paint('green', 'ok     '), warning: output.paint('yellow', 'warning'), error: output.paint('red', 'error  ') }[
    level
  ]
  return [`${sign}  ${name}: ${message}`, ...(hint === undefined || level === 'ok' ? [] : [`         ${output.paint('dim', hint)}`])]
}
