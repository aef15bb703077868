/** Connections of a run's workers: each is kept as long as it lives, and opened anew when it broke. */
import { withDirectClient, type DirectClient } from '../connections/direct.ts'

/** A session that one worker has. */
export class WorkerSession implements AsyncDisposable {
  readonly #url: string
  #client: DirectClient | undefined
  #end: (() => void) | undefined
  #ended: Promise<void> = Promise.resolve()

  constructor(url: string) {
    this.#url = url
  }

  /** Runs work on the connection. */
  async use<T>(work: (client: DirectClient) => Promise<T>): Promise<T> {
    const client = this.#client ?? (await this.#open())
    try {
      return await work(client)
    } catch (error) {
      // PostgreSQL answers with a code of its own kind; anything else says that the connection is gone.
      if (!/^[0-9A-Z]{5}$/.test(String((error as { code?: unknown }).code)) || isGone(error)) await this[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end?.()
    await this.#ended
    this.#client = undefined
  }

  #open(): Promise<DirectClient> {
    return new Promise((resolve, reject) => {
      this.#ended = withDirectClient(
        this.#url,
        client =>
          new Promise<void>(end => {
            this.#client = client
            this.#end = end
            resolve(client)
          }),
      ).catch(reject)
    })
  }
}

/** 57P01 to 57P05: the server ended the session. 08…: the connection broke. */
function isGone(error: unknown): boolean {
  return /^(57P0|08)/.test(String((error as { code?: unknown }).code))
}
