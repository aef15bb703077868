/** Numbers that look random and come again with the same seed. */

/** A stream of numbers from 0 up to 1. */
export type Random = () => number

/** https://github.com/cprosche/mulberry32 */
export function random(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** One of a list. */
export function pick<T>(next: Random, list: readonly T[]): T {
  return list[Math.floor(next() * list.length)]!
}

/** Chooses names by weight. */
export function weighted<N extends string>(weights: Readonly<Record<N, number>>): (next: Random) => N {
  const entries = Object.entries(weights) as [N, number][]
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0)
  return next => {
    let left = next() * total
    return (entries.find(([, weight]) => (left -= weight) < 0) ?? entries.at(-1)!)[0]
  }
}
