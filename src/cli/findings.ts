/** How the findings of `check` and `doctor` are said, and when they fail a command. */
import { counted } from '../errors.ts'
import type { Tenancy } from '../tenancy.ts'
import type { Output } from './output.ts'
import type { CommandFailedError } from './problem.ts'

export type Finding = Awaited<ReturnType<Tenancy['check']>>[number]

/** The failure of a command, with what it found and the lines that say it. */
type Failed = (message: string, details: { readonly checks: readonly Finding[] }, lines: readonly string[]) => CommandFailedError

/** Prints findings. @throws what `failed` makes, on an error, and in strict mode on a warning */
export function printFindings(output: Output, checks: readonly Finding[], strict: boolean, failed: Failed): void {
  const count = (level: Finding['level']): number => checks.filter(each => each.level === level).length
  const [errors, warnings] = [count('error'), count('warning')]
  const summary = `${counted(checks.length, 'check')}, ${counted(errors, 'error')}, ${counted(warnings, 'warning')}`
  const lines = (): string[] => [...checks.flatMap(each => linesOf(output, each)), summary]
  if (errors > 0 || (strict && warnings > 0)) throw failed(`${summary}${strict ? ' (--strict)' : ''}.`, { checks }, lines())
  output.result({ ok: true, errors, warnings, checks }, lines)
}

function linesOf(output: Output, { level, name, message, hint }: Finding): string[] {
  const sign = { ok: output.paint('green', 'ok     '), warning: output.paint('yellow', 'warning'), error: output.paint('red', 'error  ') }[
    level
  ]
  return [`${sign}  ${name}: ${message}`, ...(hint === undefined || level === 'ok' ? [] : [`         ${output.paint('dim', hint)}`])]
}
