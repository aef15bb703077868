/** What work came to, in one word. */

/** The code of an error, or what it says. */
export function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error)
}

/** The code that work is refused with, or undefined. */
export async function answerOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return codeOf(error)
  }
}
