/**
 * One mutant in a process of its own: takes the guard out, tries the parts that need no database, lets clients interleave, then tries the
 * probes, and stops at what it finds first. Where it is known what found it the last time, that comes before all else.
 *
 * What it is to do comes as JSON in `MUTANT_TASK`; what it found goes as one line of JSON to stdout.
 */
import { editsOf, install } from './mutant.ts'
import { MUTANTS } from './mutants.ts'
import type { Task, Verdict } from './task.ts'

const task = JSON.parse(process.env['MUTANT_TASK'] ?? '') as Task

/** Writes the answer and ends, whatever is open still. */
function answer(verdict: Verdict): never {
  process.stdout.write(`${JSON.stringify(verdict)}\n`)
  process.exit(0)
}

const mutant = MUTANTS.find(({ name }) => name === task.mutant)
if (task.mutant !== undefined && mutant === undefined) answer({ broken: `There is no mutant ${task.mutant}.` })
try {
  if (mutant !== undefined) install(editsOf(mutant, MUTANTS))
} catch (error) {
  answer({ broken: (error as Error).message })
}
process.on('uncaughtException', error => answer({ killedBy: 'an exception nobody caught', finding: String(error) }))
// Imported only now: what was loaded before could not be changed any more.
const tryParts = async (): Promise<void> => {
  const parts = await import('./part-probes.ts').catch((error: unknown) => answer({ broken: String(error) }))
  const found = await parts.tryParts()
  if (found !== undefined) answer(found)
}
if (!task.strict && task.first === undefined) await tryParts()
const { tryMutant } = await import('./trial.ts').catch((error: unknown) => answer({ broken: String(error) }))
const verdict = await tryMutant(task).catch((error: unknown): Verdict => ({ broken: String((error as Error).stack) }))
if (verdict.killedBy === undefined && verdict.broken === undefined && !task.strict && task.first !== undefined) await tryParts()
answer(verdict)
