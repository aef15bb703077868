/** Clients that do random operations in random tenants at the same time, with a random delay in front of every query. */
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf } from './answers.ts'
import * as context from './context-operations.ts'
import * as data from './data-operations.ts'
import { delayQueries } from './delays.ts'
import { pick, random, weighted, type Random } from './random.ts'
import * as transaction from './transaction-operations.ts'
import { verify } from './verification.ts'
import { Field, Refused, Thrown, type Place, type Turn, type World } from './world.ts'

type Operation = (turn: Turn) => Promise<void>

/** Operations inside a run of the turn's tenant. */
const { addTag: _addTag, stamps: _stamps, SHARED_COUNTRIES: _countries, FOR_ALL: _forAll, ...dataOperations } = data
const { keptTooLong, carriedOver, usedElsewhere, aborted, outOfService, ...insideContext } = context
const INSIDE = { ...dataOperations, ...transaction, ...insideContext }
/** Operations that open their own runs. */
const OUTSIDE = { keptTooLong, carriedOver, usedElsewhere, aborted, outOfService }
const OPERATIONS: Readonly<Record<Name, Operation>> = { ...INSIDE, ...OUTSIDE }
type Name = keyof typeof INSIDE | keyof typeof OUTSIDE

const WEIGHTS: Readonly<Record<Name, number>> = {
  insert: 10,
  find: 12,
  populate: 5,
  update: 8,
  remove: 3,
  related: 4,
  builder: 6,
  count: 3,
  addPerson: 4,
  stream: 3,
  cursor: 3,
  native: 3,
  rawSql: 4,
  shared: 3,
  cached: 4,
  parallel: 2,
  clearAndFork: 2,
  commit: 5,
  rollback: 4,
  savepoints: 2,
  byHand: 3,
  leftOpen: 2,
  throws: 3,
  failingSql: 1,
  nested: 4,
  nestedInSame: 2,
  nestedInTransaction: 1,
  nestedSystem: 2,
  timers: 3,
  forgotten: 2,
  keptTooLong: 3,
  carriedOver: 2,
  usedElsewhere: 2,
  aborted: 2,
  outOfService: 0.5,
}

/** What to do, and how much of it. */
export interface InterleavingOptions {
  readonly operations: number
  readonly clients: number
  readonly seed: number
  /** End at the first finding. Default: at the end. */
  readonly stopAtFirst?: boolean
  /** How many may hold one connection and wait for a second. Default 1; 0 leaves out what needs two. */
  readonly secondConnections?: number
}

/** What was done, and what was wrong. */
export interface InterleavingReport {
  readonly findings: readonly string[]
  readonly operations: Readonly<Record<string, number>>
  readonly done: number
  readonly refused: number
  readonly queries: number
  readonly seconds: number
}

const isDatabase = ({ isolation }: Place) => isolation === 'database'

/** Does the operations, waits for what is still under way, and looks at every table. */
export async function interleave(world: World, options: InterleavingOptions): Promise<InterleavingReport> {
  const { operations, clients, seed, stopAtFirst = false } = options
  const stop = new AbortController()
  const field = new Field(world, { stop, secondConnections: options.secondConnections ?? 1 })
  const counts: Record<string, number> = Object.fromEntries(Object.keys(WEIGHTS).map(name => [name, 0]))
  const started = Date.now()
  let left = operations
  let refused = 0
  const unhandled = (reason: unknown): void => field.finding(`unhandled rejection: ${String(reason)}`)
  process.on('unhandledRejection', unhandled)
  const undelay = delayQueries(random(seed))
  // Opening a database costs as much as a hundred statements, and a tenth of the work keeps all of its few slots busy.
  const [databases, schemas] = [world.places.filter(isDatabase), world.places.filter(place => !isDatabase(place))]
  const placeOf = (next: Random) => pick(next, next() < 0.1 ? databases : schemas)
  const choose = weighted(options.secondConnections === 0 ? { ...WEIGHTS, nestedInTransaction: 0 } : WEIGHTS)
  const client = async (number: number): Promise<void> => {
    // A stream of its own: what a client does does not depend on how fast the others are.
    const next = random(seed + 1_000 * (number + 1))
    const pause = (): Promise<void> => (next() < 0.2 ? sleep(next() * 2) : new Promise(resolve => setImmediate(resolve)))
    while (left-- > 0 && !(stopAtFirst && stop.signal.aborted)) {
      const name = choose(next)
      const turn: Turn = { field, place: placeOf(next), next, pause }
      try {
        await (name in OUTSIDE ? OPERATIONS[name](turn) : field.enter(turn.place, () => OPERATIONS[name](turn)))
      } catch (error) {
        if (error instanceof Refused) refused++
        else if (!(error instanceof Thrown)) field.finding(`${name} in ${turn.place.slug}: ${codeOf(error)}: ${String(error)}`)
      }
      counts[name] = counts[name]! + 1
    }
  }
  try {
    await Promise.all(Array.from({ length: clients }, (_, number) => client(number)))
    while (field.background.size > 0) await Promise.all(field.background)
    // What was rejected without a handler is told of one turn later.
    await sleep(5)
  } finally {
    process.removeListener('unhandledRejection', unhandled)
  }
  const queries = undelay()
  const seconds = (Date.now() - started) / 1_000
  if (!(stopAtFirst && field.findings.length > 0)) await verify(field)
  const done = Object.values(counts).reduce((sum, each) => sum + each, 0)
  return { findings: field.findings, operations: counts, done, refused, queries, seconds }
}
