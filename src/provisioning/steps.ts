/** Runs steps in order; when one fails, what was done is undone in reverse, the failed step included. */
import { ProvisioningFailedError, TenancyError } from '../errors.ts'
import { reasonOf as innermostReason } from '../migrations/errors.ts'
import { UNWATCHED, type Progress } from './progress.ts'

/** One step. `down` must be safe to run when `up` was not, or only half, done. */
export interface Step {
  readonly name: string
  up(): Promise<void>
  down?(): Promise<void>
}

/**
 * Runs the steps.
 *
 * @throws PROVISIONING_FAILED with `details.step`, and `details.leftovers` where undoing failed as well. Refusals of the input (status below 500)
 * are thrown as they are, after undoing.
 */
export async function runSteps(steps: readonly Step[], progress: Progress = UNWATCHED): Promise<void> {
  const started: Step[] = []
  await progress.plan(steps.map(({ name }) => name))
  for (const step of steps) {
    started.unshift(step)
    await progress.step(step.name, 'running')
    try {
      await step.up()
      await progress.step(step.name, 'succeeded')
    } catch (cause) {
      await progress.step(step.name, 'failed')
      const leftovers = await undo(started, progress)
      if (cause instanceof TenancyError && cause.status < 500 && leftovers.length === 0) throw cause
      throw new ProvisioningFailedError(step.name, reasonOf(cause), { cause, leftovers })
    }
  }
}

async function undo(steps: readonly Step[], progress: Progress): Promise<string[]> {
  const leftovers: string[] = []
  for (const [at, step] of steps.entries()) {
    if (step.down === undefined) continue
    try {
      await step.down()
      // The first one is the step that failed, and stays so.
      if (at > 0) await progress.step(step.name, 'undone')
    } catch (error) {
      leftovers.push(`${step.name}: ${reasonOf(error)}`)
    }
  }
  return leftovers
}

/** What an error says in one line: no SQL with values in it, and no URL of a connection. */
export function reasonOf(error: unknown): string {
  return innermostReason(error).replace(/postgres(?:ql)?:\/\/\S+/gi, 'postgresql://…')
}
