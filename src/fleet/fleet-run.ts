/**
 * One process at work on a run.
 *
 * A session of its own holds an advisory lock for each tenant that is worked on: the same one that every other operation on a tenant takes.
 * So two runs exclude each other per tenant, and a killed process leaves nothing behind that must be waited for: PostgreSQL frees its locks.
 */
import { setTimeout } from 'node:timers/promises'
import type { DirectClient } from '../connections/direct.ts'
import { MigratingMarks } from '../provisioning/migrating-mark.ts'
import type { TenantRef } from '../context/context.ts'
import type { RunPlan } from '../tenants/migration-runs.ts'
import type { Claimed, Done, RunStore } from './run-store.ts'
import { WorkerSession } from './sessions.ts'
import type { Prepared, TenantWorker } from './tenant-worker.ts'

export interface FleetRunOptions {
  /** The session that holds the locks; nobody else uses it. */
  readonly client: DirectClient
  readonly store: RunStore
  readonly worker: TenantWorker
  readonly plan: RunPlan
  readonly directUrl: string
  /** Aborts it: what was begun is ended, nothing new is begun. */
  readonly signal: AbortSignal
  /** Told of each tenant that is done with, once that is stored. */
  readonly done: (done: Done, tenant: TenantRef) => void
  /** A tenant's row has changed. */
  readonly changed: (slug: string) => void
}

/** What is faster is claimed ahead. */
const QUICK_MS = 100
/** How much work is claimed ahead, in milliseconds, and how many tenants at most. */
const AHEAD_MS = 200
const AHEAD_MOST = 400
/** How long the tenants that are migrated in one transaction may take together, and how many they are at most. */
const TOGETHER_MS = 200
const TOGETHER_MOST = 20
const GATHER_MS = 15
const BUSY_POLL_MS = 100
/** How long somebody else may work on the last tenants before they count as failed. */
const BUSY_WAIT_MS = 120_000

export class FleetRun implements AsyncDisposable {
  readonly #options: FleetRunOptions
  readonly #marks: MigratingMarks
  readonly #held = new Map<string, Claimed>()
  readonly #busy = new Set<string>()
  readonly #queue: Prepared[] = []
  readonly #ended: Done[] = []
  /** One for each worker, for all waves. */
  readonly #sessions: readonly WorkerSession[]
  #claiming: Promise<boolean> | undefined
  #storing: Promise<void> | undefined
  #failures = 0
  /** Whether the wave has no more tenants than those that are held. */
  #exhausted = false
  /** How many tenants are migrated in one transaction: more while that goes well, half as many when it does not. */
  #together = 2
  /** How many groups are under way. */
  #groups = 0
  /** Tenants with which that did not go well. */
  readonly #alone = new Set<string>()
  /** How long a tenant takes, about. */
  #tookMs = Infinity
  #broken: unknown

  constructor(options: FleetRunOptions) {
    this.#options = options
    this.#marks = new MigratingMarks(options.client, options.changed)
    this.#sessions = Array.from({ length: options.plan.concurrency }, () => new WorkerSession(options.directUrl))
  }

  /** Why nothing new is begun, if it is so. */
  get stopped(): 'interrupted' | 'failures' | undefined {
    const { signal, plan } = this.#options
    if (signal.aborted || this.#broken !== undefined) return 'interrupted'
    return plan.maxFailures !== null && this.#failures >= plan.maxFailures ? 'failures' : undefined
  }

  /** Works on a wave until none of its tenants is left, or it is stopped. @throws when the run's session breaks */
  async work(wave: number): Promise<void> {
    const { store } = this.#options
    this.#exhausted = false
    const lane = async (session: WorkerSession): Promise<void> => {
      for (let tenant = await this.#next(wave); tenant !== undefined; tenant = await this.#next(wave)) {
        const group = this.#group(tenant)
        const began = performance.now()
        if (!(await (group.length > 1 ? this.#migrateTogether(group, session) : this.#migrate(tenant, session)))) continue
        const took = (performance.now() - began) / group.length
        this.#tookMs = this.#tookMs === Infinity ? took : this.#tookMs + (took - this.#tookMs) / 8
      }
    }
    try {
      await Promise.all(this.#sessions.map(session => lane(session).catch((error: unknown) => void (this.#broken ??= error))))
      while (this.#storing !== undefined) await this.#storing
      if (this.#broken !== undefined) throw this.#broken as Error
      const left = this.#queue.splice(0)
      await this.#marks.clear(left.map(({ record }) => record.ref.id))
      await store.giveBack(left)
      for (const { record } of left) this.#held.delete(record.ref.id)
    } finally {
      this.#marks.release(this.#held.size === 0 ? [] : [...this.#held.keys()])
    }
  }

  /** Ends the connections of its workers. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sessions.map(session => session[Symbol.asyncDispose]()))
  }

  /** A tenant, and those after it that may go with it in one transaction. */
  #group(first: Prepared): readonly Prepared[] {
    const { worker, plan } = this.#options
    const share = Math.ceil(this.#queue.length / plan.concurrency)
    const size = Math.min(this.#together, Math.floor(TOGETHER_MS / this.#tookMs), share, worker.together(first))
    const alone = ({ record }: Prepared): boolean => this.#alone.has(record.ref.id)
    if (size <= 1 || alone(first)) return [first]
    const differs = this.#queue.findIndex((each, index) => index + 1 >= size || alone(each) || !worker.alike(first, each))
    return [first, ...this.#queue.splice(0, differs === -1 ? this.#queue.length : differs)]
  }

  /** Where it does not go well each of them is up again, by itself: what is in the way of one must not be in the way of the others. */
  async #migrateTogether(group: readonly Prepared[], session: WorkerSession): Promise<boolean> {
    this.#groups++
    const done = await this.#options.worker.migrateTogether(group, session).finally(() => this.#groups--)
    this.#together = done === undefined ? Math.max(2, this.#together >> 1) : Math.min(TOGETHER_MOST, this.#together + 1)
    if (done === undefined) {
      for (const { record } of group) this.#alone.add(record.ref.id)
      this.#queue.unshift(...group)
    }
    for (const each of done ?? []) this.#end(each)
    return done !== undefined
  }

  async #migrate(tenant: Prepared, session: WorkerSession): Promise<boolean> {
    this.#end((await this.#options.worker.migrate(tenant, session)) ?? (await this.#readAndMigrate(tenant, session)))
    return true
  }

  async #readAndMigrate(tenant: Prepared, session: WorkerSession): Promise<Done> {
    const { worker, client } = this.#options
    const [read] = await worker.read(client, [tenant])
    if (!worker.staysOnline(read!)) await this.#marks.put([tenant.record.ref])
    return (await worker.migrate(read!, session))!
  }

  async #next(wave: number): Promise<Prepared | undefined> {
    for (const end = Date.now() + BUSY_WAIT_MS; this.stopped === undefined;) {
      const tenant = this.#queue.shift()
      // Only where they are soon done with: a tenant that waits its turn is refused to requests already, and no other run can take it.
      if (this.#tookMs < QUICK_MS && this.#queue.length < this.#ahead() / 2) void this.#claim(wave)
      if (tenant !== undefined) return tenant
      if (await this.#claim(wave)) continue
      if (this.#queue.length > 0) continue
      // The tenants of a group that fails come back, and one of them may have to wait: not with all others behind it.
      if (this.#groups > 0) {
        await setTimeout(GATHER_MS)
        continue
      }
      if (this.#busy.size === 0 || Date.now() > end) return undefined
      await setTimeout(BUSY_POLL_MS)
      this.#busy.clear()
    }
    return undefined
  }

  /** How many are claimed at once. */
  #ahead(): number {
    const { concurrency } = this.#options.plan
    if (this.#tookMs >= QUICK_MS) return concurrency
    return Math.max(concurrency, Math.min(AHEAD_MOST, Math.round((concurrency * AHEAD_MS) / this.#tookMs)))
  }

  /** Whether there is something in the queue now. One look at a time. */
  #claim(wave: number): Promise<boolean> {
    this.#claiming ??= this.#claimNow(wave)
      .catch((error: unknown) => {
        this.#broken ??= error
        return false
      })
      .finally(() => {
        this.#claiming = undefined
      })
    return this.#claiming
  }

  async #claimNow(wave: number): Promise<boolean> {
    const { store, worker, client } = this.#options
    if (this.stopped !== undefined || this.#exhausted) return false
    const { claimed, busy, seen } = await store.claim(wave, this.#ahead(), [...this.#held.keys(), ...this.#busy])
    for (const id of busy) this.#busy.add(id)
    for (const each of claimed) this.#held.set(each.record.ref.id, each)
    // Others have, or ended with, all that were seen: there may be more behind them.
    if (claimed.length === 0 && seen > 0) return this.#claimNow(wave)
    this.#exhausted = seen === 0 && this.#busy.size === 0
    if (seen === 0) return false
    const prepared = await worker.prepare(client, claimed)
    await this.#marks.put(prepared.filter(each => !worker.staysOnline(each)).map(({ record }) => record.ref))
    this.#queue.push(...prepared)
    return true
  }

  /** It is stored together with what else ends meanwhile; nobody waits for it. */
  #end(done: Done): void {
    if (done.status === 'failed') this.#failures++
    this.#ended.push(done)
    this.#storing ??= this.#store()
      .catch((error: unknown) => void (this.#broken ??= error))
      .finally(() => {
        this.#storing = undefined
      })
  }

  async #store(): Promise<void> {
    const { store, done: tell, changed } = this.#options
    while (this.#ended.length > 0) {
      // What ends at about the same time is stored together.
      if (this.#queue.length > 0) await setTimeout(GATHER_MS)
      const batch = this.#ended.splice(0)
      const ids = batch.map(({ id }) => id)
      const claimed = ids.map(id => this.#held.get(id)!)
      // Before they are cleared: a mark that is moved on afterwards would stand for its time.
      this.#marks.release(ids)
      await store.finish(
        batch,
        claimed.map(({ key }) => key),
      )
      for (const [index, done] of batch.entries()) {
        this.#held.delete(done.id)
        changed(done.slug)
        tell(done, claimed[index]!.record.ref)
      }
    }
  }
}
