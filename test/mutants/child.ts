/**
 * One mutant in a process of its own: takes the guard out, tries the parts that need no database, lets clients interleave, then tries the
 * probes, and stops at what it finds first.
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
if (!task.strict) {
  const { tryParts } = await import('./part-probes.ts').catch((error: unknown) => answer({ broken: String(error) }))
  const found = await tryParts()
  if (found !== undefined) answer(found)
}
const { tryMutant } = await import('./trial.ts').catch((error: unknown) => answer({ broken: String(error) }))
answer(await tryMutant(task).catch((error: unknown) => ({ broken: String((error as Error).stack) })))
