/** Lending a thing to whatever a piece of work calls, without handing it through every function in between. */
import { AsyncLocalStorage } from 'node:async_hooks'

/** What is lent, to one borrower at a time. */
export interface Loan<T> {
  readonly thing: T
  busy: boolean
}

export class Lending<T> {
  readonly #storage = new AsyncLocalStorage<Loan<T>>()

  /** Runs work that may borrow the thing. What goes on after the work, without being awaited, finds it taken. */
  async lend<R>(thing: T, work: () => Promise<R>): Promise<R> {
    const loan: Loan<T> = { thing, busy: false }
    try {
      return await this.#storage.run(loan, work)
    } finally {
      loan.busy = true
    }
  }

  /** What is lent here and fits, if nobody has it now. Whoever takes it sets `busy`, and takes it back in the end. */
  available(fits: (thing: T) => boolean): Loan<T> | undefined {
    const loan = this.#storage.getStore()
    return loan === undefined || loan.busy || !fits(loan.thing) ? undefined : loan
  }
}
