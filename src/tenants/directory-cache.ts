/** What is remembered by key, and which keys were unknown: bounded in number and in time. It only remembers; who asks is the directory. */

export interface DirectoryCacheOptions {
  /** How long a value is kept, in milliseconds. */
  readonly ttlMs: number
  /** How long it is kept that a key is unknown, in milliseconds; 0 keeps none. */
  readonly negativeTtlMs: number
  /** How many values are kept, and how many unknown keys. */
  readonly maxEntries: number
}

/** What is remembered of a key: its value, or that it has none. */
export interface Remembered<T> {
  readonly value: T | undefined
}

interface Entry<T> extends Remembered<T> {
  /** When the question was sent, so that its age is the age of the answer at most. */
  readonly askedAt: number
}

const UNKNOWN: Remembered<never> = Object.freeze({ value: undefined })

export class DirectoryCache<T> {
  readonly #options: DirectoryCacheOptions
  /** In order of use: the first is the one unused longest. */
  readonly #known = new Map<string, Entry<T>>()
  /** When it was asked; in order of that. */
  readonly #unknown = new Map<string, number>()

  constructor(options: DirectoryCacheOptions) {
    this.#options = options
  }

  /** What is remembered of a key and younger than `trustMs`; `undefined` means: ask. */
  get(key: string, now: number, trustMs = Infinity): Remembered<T> | undefined {
    const entry = this.#known.get(key)
    if (entry !== undefined) {
      this.#known.delete(key)
      if (now - entry.askedAt >= Math.min(this.#options.ttlMs, trustMs)) return undefined
      this.#known.set(key, entry)
      return entry
    }
    const askedAt = this.#unknown.get(key)
    return askedAt !== undefined && now - askedAt < Math.min(this.#options.negativeTtlMs, trustMs) ? UNKNOWN : undefined
  }

  /** Remembers the answer to a question that was sent at `askedAt`. */
  put(key: string, value: T | undefined, askedAt: number): void {
    this.forget(key)
    if (value !== undefined) this.#known.set(key, { value, askedAt })
    else if (this.#options.negativeTtlMs > 0) this.#unknown.set(copyOf(key), askedAt)
    shrink(this.#known, this.#options.maxEntries)
    shrink(this.#unknown, this.#options.maxEntries)
  }

  forget(key: string): void {
    this.#known.delete(key)
    this.#unknown.delete(key)
  }

  clear(): void {
    this.#known.clear()
    this.#unknown.clear()
  }

  /** How many values and how many unknown keys are held. */
  sizes(): { readonly entries: number; readonly unknown: number } {
    return { entries: this.#known.size, unknown: this.#unknown.size }
  }
}

/** A sixteenth more than it must: to find the first key of a map costs what was removed before it, so it is not done for each. */
function shrink(entries: Map<string, unknown>, max: number): void {
  if (entries.size <= max) return
  const target = max - Math.floor(max / 16)
  for (const key of entries.keys()) {
    if (entries.size <= target) return
    entries.delete(key)
  }
}

/** A key cut out of a longer text (a host name, a path) would keep all of that text in memory. */
function copyOf(key: string): string {
  return Buffer.from(key).toString()
}
