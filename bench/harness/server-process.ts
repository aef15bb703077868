/** The parent's side of a server process. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Question, ServerPlan } from '../server.ts'
import { LoadGenerator } from './load.ts'

/** A profile of V8, as far as it is read. */
export interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  /** Microseconds between a sample and the one before. */
  readonly timeDeltas: readonly number[]
}

const SERVER = join(import.meta.dirname, '..', 'server.ts')

/** A server in a process of its own, as an application's would be. */
export class ServerProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly port: number

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  /** @param flags Flags of node, such as `--cpu-prof`. */
  static async start(plan: ServerPlan, flags: readonly string[] = []): Promise<ServerProcess> {
    // Its standard output must not get into ours, which may be a JSON document.
    const child = fork(SERVER, { execArgv: ['--expose-gc', ...flags], stdio: ['ignore', 2, 2, 'ipc'] })
    child.send(plan)
    await answerOf(child)
    child.send('port' satisfies Question)
    return new ServerProcess(child, (await answerOf(child)) as number)
  }

  /** Microseconds of processor time since its start. */
  cpu(): Promise<number> {
    return this.#ask('cpu') as Promise<number>
  }

  /** Bytes of heap in use after a collection. */
  heap(): Promise<number> {
    return this.#ask('heap') as Promise<number>
  }

  /** Bytes of memory of each PostgreSQL backend of its shared pool. */
  backends(): Promise<readonly number[]> {
    return this.#ask('backends') as Promise<readonly number[]>
  }

  /** Profiles its processor while the work runs. */
  async profile(work: () => Promise<unknown>): Promise<Profile> {
    await this.#ask('begin-profile')
    await work()
    return (await this.#ask('end-profile')) as Profile
  }

  clients(count: number): Promise<LoadGenerator> {
    return LoadGenerator.open(this.port, count)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.send('stop')
    await gone
  }

  async #ask(question: Question): Promise<unknown> {
    this.#child.send(question)
    return answerOf(this.#child)
  }
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const gone = new AbortController()
  try {
    const [message] = (await Promise.race([
      once(child, 'message', { signal: gone.signal }),
      once(child, 'exit', { signal: gone.signal }).then(([code]) => {
        throw new Error(`A server of the bench ended with ${String(code)}.`)
      }),
    ])) as unknown[]
    return message
  } finally {
    gone.abort()
  }
}
