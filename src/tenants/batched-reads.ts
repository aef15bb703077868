/**
 * Questions to the database, many in one: what is asked while others wait is asked together with them, and a key is asked for once,
 * however many want it. However many different keys are asked for, only a few queries run at a time.
 */

export interface BatchedReadsOptions<T> {
  /** Asks the database; what is not in the answer is unknown. */
  readonly ask: (keys: readonly string[]) => Promise<ReadonlyMap<string, T>>
  /** Gets each answer that is still true, and when its question was sent. */
  readonly keep: (key: string, value: T | undefined, askedAt: number) => void
  /** Runs what must not run in the context of whoever happens to ask. */
  readonly detached: (work: () => void) => void
}

interface Read<T> {
  readonly answer: Promise<T | undefined>
  readonly resolve: (value: T | undefined) => void
  readonly reject: (error: unknown) => void
}

/** Queries at a time at most, and keys in one query. */
export const MAX_QUERIES = 4
export const MAX_KEYS = 500

export class BatchedReads<T> {
  readonly #options: BatchedReadsOptions<T>
  /** Not asked yet: what changes now will be in the answer. */
  readonly #waiting = new Map<string, Read<T>>()
  /** Asked, and nothing has changed since. */
  readonly #asked = new Map<string, Read<T>>()
  #running = 0
  #isPlanned = false

  constructor(options: BatchedReadsOptions<T>) {
    this.#options = options
  }

  /** The answer for a key, from a question that is not older than the key's last change. */
  read(key: string): Promise<T | undefined> {
    return (this.#asked.get(key) ?? this.#waiting.get(key) ?? this.#add(key)).answer
  }

  /** A key has changed: the answer to a question that was sent before is not kept, and nobody joins it any more. */
  forget(key: string): void {
    this.#asked.delete(key)
  }

  /** Anything may have changed. */
  clear(): void {
    this.#asked.clear()
  }

  #add(key: string): Read<T> {
    const read = newRead<T>()
    this.#waiting.set(key, read)
    this.#plan()
    return read
  }

  /** Not at once: what is asked in the same moment goes into the same query. */
  #plan(): void {
    if (this.#isPlanned || this.#running >= MAX_QUERIES) return
    this.#isPlanned = true
    this.#options.detached(() => queueMicrotask(() => this.#send()))
  }

  #send(): void {
    this.#isPlanned = false
    while (this.#waiting.size > 0 && this.#running < MAX_QUERIES) {
      const batch = this.#take()
      this.#running++
      void this.#ask(batch).finally(() => {
        this.#running--
        if (this.#waiting.size > 0) this.#plan()
      })
    }
  }

  #take(): readonly (readonly [string, Read<T>])[] {
    const batch: [string, Read<T>][] = []
    for (const [key, read] of this.#waiting) {
      if (batch.length === MAX_KEYS) break
      this.#waiting.delete(key)
      this.#asked.set(key, read)
      batch.push([key, read])
    }
    return batch
  }

  /** Never rejects: whoever waits for a key is told. */
  async #ask(batch: readonly (readonly [string, Read<T>])[]): Promise<void> {
    const askedAt = performance.now()
    const asked = await this.#options.ask(batch.map(([key]) => key)).then(
      answers => ({ answers, error: undefined }),
      (error: unknown) => ({ answers: undefined, error }),
    )
    for (const [key, read] of batch) {
      const isTrue = this.#asked.get(key) === read
      if (isTrue) this.#asked.delete(key)
      if (asked.answers === undefined) {
        read.reject(asked.error)
        continue
      }
      const value = asked.answers.get(key)
      if (isTrue) this.#options.keep(key, value, askedAt)
      read.resolve(value)
    }
  }
}

function newRead<T>(): Read<T> {
  let resolve!: Read<T>['resolve']
  let reject!: Read<T>['reject']
  const answer = new Promise<T | undefined>((resolved, rejected) => {
    resolve = resolved
    reject = rejected
  })
  return { answer, resolve, reject }
}
