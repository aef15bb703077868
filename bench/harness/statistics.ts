/** Medians and spreads of paired rounds. */

/** One round of two sides that ran right after each other. The unit is the row's. */
export interface Pair {
  readonly a: number
  readonly b: number
}

/** What many pairs come to. */
export interface Summary {
  /** The median of the pairs' ratios `a / b`. */
  readonly ratio: number
  /** The interquartile range of the pairs' ratios. */
  readonly spread: readonly [low: number, high: number]
  /** The medians of the sides. Their quotient is near the ratio, and not the same. */
  readonly a: number
  readonly b: number
  readonly rounds: number
}

/** The value below which the share `q` (0 to 1) of the values lies, interpolated. @throws RangeError without values */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError('There is no quantile of no values.')
  const sorted = values.toSorted((one, other) => one - other)
  const place = (sorted.length - 1) * q
  const below = sorted[Math.floor(place)]!
  return below + (sorted[Math.ceil(place)]! - below) * (place % 1)
}

/** The middle value. @throws RangeError without values */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The median of the ratios, each within its pair: what slows the machine for a while slows both sides of a pair. @throws RangeError */
export function summarize(pairs: readonly Pair[]): Summary {
  const bad = pairs.find(({ a, b }) => !Number.isFinite(a) || !Number.isFinite(b) || b === 0)
  if (bad !== undefined) throw new RangeError(`A round measured ${bad.a} against ${bad.b}: that is no ratio.`)
  const ratios = pairs.map(({ a, b }) => a / b)
  return {
    ratio: median(ratios),
    spread: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    a: median(pairs.map(({ a }) => a)),
    b: median(pairs.map(({ b }) => b)),
    rounds: pairs.length,
  }
}
