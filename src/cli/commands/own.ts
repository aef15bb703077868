/** Commands of an application's own, beside those of the framework: with `--json`, exit codes, progress and the tenancy, like them. */
import type { Session } from '../session.ts'
import type { Register } from './command.ts'

/** One option of a command. */
export interface CliOption {
  readonly type: 'string' | 'number' | 'boolean'
  readonly describe: string
  /** Whether it must be given. Default false. */
  readonly required?: boolean
  readonly default?: string | number | boolean
  readonly choices?: readonly string[]
}

/**
 * A command of an application's own.
 *
 * @example
 * const close: CliCommand = {
 *   command: 'invoices:close <month>',
 *   describe: 'Close the invoices of a month',
 *   options: { tenant: { type: 'string', describe: 'The tenant', required: true } },
 *   async run({ tenancy, output }, { month, tenant }) { … },
 * }
 */
export interface CliCommand {
  /** Its name, and its arguments: `invoices:close <month> [year]`. */
  readonly command: string
  readonly describe: string
  readonly options?: Readonly<Record<string, CliOption>>
  /** Does it, and prints its result with `session.output.result`. It fails by throwing. */
  run(session: Session, args: Readonly<Record<string, unknown>>): Promise<void>
}

/** A command in the form of the framework's own. */
export function registerOf(own: CliCommand): Register {
  return (program, choose) =>
    program.command(
      own.command,
      own.describe,
      command => {
        for (const [name, { required = false, ...option }] of Object.entries(own.options ?? {})) {
          command.option(name, { ...option, requiresArg: option.type !== 'boolean', demandOption: required })
        }
        return command
      },
      args => choose(session => own.run(session, args)),
    )
}
