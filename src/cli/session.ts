/** One run of the command line: what commands are given, and what is closed after them. */
import { dirname } from 'node:path'
import type { TenancyOptions } from '../options.ts'
import type { Tenancy } from '../tenancy.ts'
import { findConfiguration, loadOptions } from './configuration.ts'
import type { CliIo, Output } from './output.ts'

/** The name under which the command line acts: it stands in the audit columns as `system:cli`. */
const JOB = 'cli'

/** What a command works with. The configuration and the tenancy are opened when a command asks for them. */
export class Session {
  readonly io: CliIo
  readonly output: Output
  readonly #config: string | undefined
  #options: Promise<TenancyOptions> | undefined
  #tenancy: Promise<Tenancy> | undefined

  constructor(io: CliIo, output: Output, config: string | undefined) {
    this.io = io
    this.output = output
    this.#config = config
  }

  /** The project's options. @throws CONFIGURATION_INVALID */
  options(): Promise<TenancyOptions> {
    this.#options ??= loadOptions(this.#path())
    return this.#options
  }

  /** The project's folder: the one that holds its configuration. @throws CONFIGURATION_INVALID */
  folder(): string {
    return dirname(this.#path())
  }

  /** The project's tenancy, connected. */
  tenancy(): Promise<Tenancy> {
    this.#tenancy ??= this.#open()
    return this.#tenancy
  }

  /** Runs the work as the system, under the name of the command line. */
  async asSystem<T>(work: (tenancy: Tenancy) => Promise<T>): Promise<T> {
    const tenancy = await this.tenancy()
    return tenancy.runAsSystem(JOB, () => work(tenancy))
  }

  /** Closes what was opened; nothing may keep the process alive after it. */
  async close(): Promise<void> {
    const tenancy = await this.#tenancy?.catch(() => undefined)
    if (tenancy !== undefined) return tenancy.close()
    // The tenancy closes its options; where it never came to be, what its options had begun (an embedded server) is closed here.
    const options = await this.#options?.catch(() => undefined)
    if (this.#tenancy !== undefined) await options?.close?.()
  }

  #path(): string {
    return findConfiguration(this.io.cwd, this.#config)
  }

  async #open(): Promise<Tenancy> {
    const [options, { createTenancy }] = await Promise.all([this.options(), import('../tenancy.ts')])
    // A command does what it was asked for, and nothing by the clock.
    return createTenancy({ ...options, usage: { ...options.usage, everyMinutes: 0 } })
  }
}
