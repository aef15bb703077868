/** Executes a run from its first wave to its end, or from where it was left. */
import { setTimeout } from 'node:timers/promises'
import { withDirectClient } from '../connections/direct.ts'
import type { TenantRef } from '../context/context.ts'
import { MigrationInterruptedError } from '../migrations/errors.ts'
import type { Migrations } from '../migrations/migrations.ts'
import type { TenantMigration } from '../provisioning/tenant-migration.ts'
import type { RunPlan } from '../tenants/migration-runs.ts'
import { isBehindSql, type Heads } from './behind.ts'
import { FleetRun } from './fleet-run.ts'
import { RunStore, type Done } from './run-store.ts'
import { TenantWorker } from './tenant-worker.ts'

/** What a run is executed with. */
export interface Execution {
  readonly id: string
  readonly actor: string
  readonly directUrl: string
  readonly migrations: Migrations
  readonly tenantMigration: TenantMigration
  readonly heads: Heads
  readonly signal: AbortSignal
  /** Writes the run, or takes it up again. */
  readonly begin: (store: RunStore) => Promise<RunPlan>
  readonly done: (done: Done, tenant: TenantRef) => void
  readonly changed: (slug: string) => void
}

/** How long tenants that are being provisioned at the end are waited for, in milliseconds. */
const NEWCOMERS_WAIT_MS = 30_000
const NEWCOMERS_POLL_MS = 200

/** @throws MIGRATION_INTERRUPTED, and what `begin` throws */
export async function execute(execution: Execution): Promise<void> {
  const { id, actor, directUrl, signal, begin } = execution
  let begun = false
  try {
    await withDirectClient(directUrl, async client => {
      const store = new RunStore(client, id, actor)
      await store.hold()
      const plan = await begin(store)
      begun = true
      await store.hurry()
      const { migrations, tenantMigration, heads, done, changed } = execution
      const worker = await TenantWorker.make({ migrations, tenantMigration, heads, allowDestructive: plan.allowDestructive })
      await using run = new FleetRun({ client, store, worker, plan, directUrl, signal, done, changed })
      const reason = await waves(run, store, plan, heads)
      if (run.stopped === 'interrupted') throw new MigrationInterruptedError(id)
      const { failed, left } = await store.counts()
      await store.end(
        left > 0 ? 'stopped' : failed > 0 ? 'failed' : 'succeeded',
        left > 0 ? (reason ?? 'others work on the rest') : undefined,
      )
    })
  } catch (error) {
    throw !begun || error instanceof MigrationInterruptedError ? error : new MigrationInterruptedError(id, error)
  }
}

/** Answers why it ended early, if it did. */
async function waves(run: FleetRun, store: RunStore, plan: RunPlan, heads: Heads): Promise<string | undefined> {
  for (;;) {
    const { next, last } = await store.wave()
    if (next === undefined) {
      if (!plan.everyone || run.stopped !== undefined || !(await takesInNewcomers(store, heads, last))) return undefined
      continue
    }
    await run.work(next)
    if (run.stopped === 'failures') return `${plan.maxFailures} failed`
    if (run.stopped !== undefined) return undefined
    const { failed, total, left } = await store.counts(next)
    if (left > 0) return undefined
    if (next === 0 && failed > 0) return 'a canary failed'
    // Not one went well: neither will the next ones.
    if (failed === total) return `every tenant of wave ${next} failed`
  }
}

/** Tenants that came to be meanwhile, by a program that does not have the newest migrations, end at the head like all others. */
async function takesInNewcomers(store: RunStore, heads: Heads, lastWave: number): Promise<boolean> {
  for (const end = Date.now() + NEWCOMERS_WAIT_MS; ; await setTimeout(NEWCOMERS_POLL_MS)) {
    // Asked first: who is not provisioned any more by then is seen by the second question.
    const expected = await store.provisioning()
    if ((await store.newcomers(isBehindSql(heads), lastWave)) > 0) return true
    if (!expected || Date.now() > end) return false
  }
}
