/** What a group of rows is given, and what it must be. */
import type { TenantRecord } from 'mikro-tenantkit'
import type { Fleet } from '../fleet.ts'
import type { Place } from './place.ts'
import type { Row } from './report.ts'

/** Sizes that differ between a quick run and a full one. */
export interface Sizes {
  readonly quick: boolean
  /** Tables of a tenant. */
  readonly tables: number
  /** Schema tenants that are touched at random. */
  readonly schemas: number
  /** Database tenants that are touched at random, and the slots they share. */
  readonly databases: number
  readonly slots: number
  /** Tables of a tenant that is provisioned. */
  readonly provisionedTables: number
  /** Paired rounds of requests, and how long one side of one takes: many short ones, since a noisy moment spoils one round. */
  readonly rounds: number
  readonly roundMs: number
  /** Paired rounds of what is slow or steady: provisioning, flushes, look-ups, strict mode. */
  readonly fewRounds: number
  /** Requests to each side before the clock runs, the same for all: by number, since a slow machine compiles no sooner. */
  readonly warmUp: number
}

/** What is set up before the clock runs. */
export interface Bench {
  readonly sizes: Sizes
  readonly place: Place
  readonly fleet: Fleet
  readonly schemas: readonly TenantRecord[]
  readonly databases: readonly TenantRecord[]
  /** A database of the same server with the item's table in `public`, and nothing of this framework. */
  readonly plainUrl: string
  readonly secret: string
  /** Says something on standard error. */
  readonly say: (line: string) => void
}

/** A group of rows, and the tenants it needs. */
export interface Group {
  readonly name: string
  tenants(sizes: Sizes): { readonly schemas: number; readonly databases: number }
  /** Set-up of its own that is not measured; the rows come from what it answers. */
  prepare(bench: Bench): Promise<Prepared>
}

/** A group that is ready to be measured. */
export interface Prepared extends AsyncDisposable {
  measure(): Promise<readonly Row[]>
}

export const QUICK: Sizes = {
  quick: true,
  tables: 5,
  schemas: 200,
  databases: 20,
  slots: 5,
  provisionedTables: 20,
  rounds: 14,
  roundMs: 100,
  fewRounds: 6,
  warmUp: 1500,
}

export const FULL: Sizes = {
  quick: false,
  tables: 5,
  schemas: 2000,
  databases: 200,
  slots: 40,
  provisionedTables: 20,
  rounds: 60,
  roundMs: 300,
  fewRounds: 20,
  warmUp: 10_000,
}
