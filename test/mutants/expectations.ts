/** What a probe expects. Without a database, so that what needs none is loaded fast. */
import { answerOf } from '../interleaving/answers.ts'

/** @throws when the work is not refused with the code */
export async function mustRefuse(code: string, what: string, work: () => unknown): Promise<void> {
  const answer = await answerOf(work)
  if (answer !== code) throw new Error(`${what}: ${answer ?? 'not refused'} instead of ${code}`)
}

/** @throws when it does not hold */
export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}
