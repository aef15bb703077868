/** A value that a piece of work carries to whatever it calls, through code that knows nothing of it. */
import { AsyncLocalStorage } from 'node:async_hooks'

export class Carried<T> {
  readonly #storage = new AsyncLocalStorage<T>()

  /** Runs work that carries the value. */
  run<R>(value: T, work: () => R): R {
    return this.#storage.run(value, work)
  }

  /** What is carried here, or `undefined`. */
  current(): T | undefined {
    return this.#storage.getStore()
  }
}
