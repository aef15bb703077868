/** What a child process is told, and what it answers. */
import type { Place } from '../interleaving/world.ts'

export interface Task {
  /** Absent: nothing is taken out, and nothing must be found. */
  readonly mutant?: string
  readonly strict: boolean
  /** Which probes alone are tried, without the interleaving. Absent: that, and all probes. */
  readonly probes?: 'context' | 'strict' | undefined
  /** The probe that found it the last time, which is tried before all else; or `interleaving`. Absent: none, or a part. */
  readonly first?: string | undefined
  readonly controlUrl: string
  readonly directUrl: string | undefined
  readonly keys: string
  readonly prefix: string
  readonly migrations: string
  readonly places: readonly Place[]
  readonly slots: number
  readonly pool: { readonly shared: number; readonly perTenant: number }
  readonly operations: number
  readonly clients: number
  readonly seed: number
}

/** `killedBy` says who found something, and `finding` what; neither: the mutant survived. `broken`: there was no trial. */
export interface Verdict {
  readonly killedBy?: string
  readonly finding?: string
  readonly broken?: string
}
