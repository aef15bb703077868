/** Rounds of several sides that take turns, so that whatever else the machine does hits all of them. */

/** Measures one side for one round. */
export type Side<T> = () => Promise<T>

/**
 * Runs every side once a round, in turn forwards and backwards (A B, B A, A B …), so that no side always comes first.
 *
 * @returns For each round, the measurements in the order of `sides`.
 */
export async function alternate<T>(rounds: number, sides: readonly Side<T>[]): Promise<readonly (readonly T[])[]> {
  const measured: (readonly T[])[] = []
  for (let round = 0; round < rounds; round++) {
    const results: T[] = []
    const order = sides.map((_, index) => index)
    for (const index of round % 2 === 0 ? order : order.toReversed()) results[index] = await sides[index]!()
    measured.push(results)
  }
  return measured
}

/** Milliseconds that the work took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

/** What work took. */
export interface Took {
  /** Milliseconds until it was done. */
  readonly wall: number
  /** Milliseconds of this process's processor time: of the work's own, whatever else the machine does. */
  readonly processor: number
}

/** The time and the processor time of work. */
export async function clocked(work: () => Promise<unknown>): Promise<Took> {
  const before = process.cpuUsage()
  const wall = await timed(work)
  const { user, system } = process.cpuUsage(before)
  return { wall, processor: (user + system) / 1000 }
}
