/** One clock for each transaction: what is written in it carries one instant, in savepoints too. */

interface Clock {
  at: Date | undefined
}

const clocks = new WeakMap<object, Clock>()

/** Gives a transaction that began its clock: that of the transaction it is a savepoint of, or one of its own. */
export function beginClock<Transaction extends object>(transaction: Transaction, outer: unknown): Transaction {
  if (!clocks.has(transaction)) clocks.set(transaction, clockOf(outer) ?? { at: undefined })
  return transaction
}

/** The instant of a transaction. It is read when it is first asked for, and `proposed` is it then; without a transaction it is now. */
export function instantOf(transaction: unknown, proposed?: Date): Date {
  const clock = clockOf(transaction)
  if (clock === undefined) return proposed ?? new Date()
  return (clock.at ??= proposed ?? new Date())
}

function clockOf(transaction: unknown): Clock | undefined {
  return typeof transaction === 'object' && transaction !== null ? clocks.get(transaction) : undefined
}
