/** What checks find, and how a list of independent checks is run. */
import { TenancyError } from '../errors.ts'
import { reasonOf } from '../provisioning/steps.ts'

/** One thing that was looked at. */
export interface CheckFinding {
  /** The check that looked. */
  readonly name: string
  /** Whether it is no error. */
  readonly ok: boolean
  readonly level: 'ok' | 'warning' | 'error'
  readonly message: string
  readonly hint?: string
}

/** What a check says, without its own name. */
export type Observation = Omit<CheckFinding, 'name' | 'ok'>

/** One check. It knows nothing of the others: one more is one more entry in a list. */
export interface Diagnostic {
  readonly name: string
  run(): Promise<readonly Observation[]>
}

/** Runs checks one after the other; one that cannot run is an error with its reason. `ran` is told of each. */
export async function diagnose(
  diagnostics: readonly Diagnostic[],
  ran: (name: string) => void = () => undefined,
): Promise<readonly CheckFinding[]> {
  const findings: CheckFinding[] = []
  for (const diagnostic of diagnostics) {
    const { name } = diagnostic
    const observed = await diagnostic.run().catch((error: unknown) => [failure(error)])
    findings.push(...observed.map(each => ({ name, ok: each.level !== 'error', ...each })))
    ran(name)
  }
  return findings
}

export const fine = (message: string): Observation => ({ level: 'ok', message })
export const warning = (message: string, hint?: string): Observation => ({
  level: 'warning',
  message,
  ...(hint === undefined ? {} : { hint }),
})
export const wrong = (message: string, hint?: string): Observation => ({ level: 'error', message, ...(hint === undefined ? {} : { hint }) })

/** The first few of many, and how many more there are. */
export function some(names: readonly string[], total = names.length): string {
  const shown = names.slice(0, SHOWN)
  return total > shown.length ? `${shown.join(', ')} and ${total - shown.length} more` : shown.join(', ')
}

/** How many names stand in one message. */
export const SHOWN = 5

function failure(error: unknown): Observation {
  return wrong(reasonOf(error), error instanceof TenancyError ? error.hint : undefined)
}
