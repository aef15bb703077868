/** Exact money: decimal strings outside, whole cents inside. */

/** Up to ten digits before the point and two after it. */
export const PRICE = /^\d{1,10}(?:\.\d{1,2})?$/

/** The greatest amount that a column holds, in cents. */
export const MOST_CENTS = 999_999_999_999n

/** Cents of a decimal string. */
export function centsOf(amount: string): bigint {
  const [whole = '0', fraction = ''] = amount.split('.')
  return BigInt(whole) * 100n + BigInt(fraction.padEnd(2, '0').slice(0, 2))
}

/** The decimal string of cents, always with two digits after the point. */
export function amountOf(cents: bigint): string {
  return `${cents / 100n}.${String(cents % 100n).padStart(2, '0')}`
}
