/** A process that migrates tenants once, and says how much memory it took at most. */
import { createTenancy } from 'mikro-tenantkit'
import { optionsOf, type FleetPlan } from './fleet.ts'

interface Task {
  readonly plan: FleetPlan
  readonly slugs: readonly string[]
  readonly concurrency: number
}

process.once('message', (task: Task) => void migrate(task))

async function migrate({ plan, slugs, concurrency }: Task): Promise<void> {
  const tenancy = await createTenancy(optionsOf(plan))
  const { run } = await tenancy.runAsSystem('bench', () => tenancy.migrate({ scope: 'tenant', tenants: slugs, concurrency }))
  await tenancy.close()
  // In kilobytes: https://nodejs.org/api/process.html#processresourceusage
  process.send!({ applied: run?.applied, megabytes: process.resourceUsage().maxRSS / 1024 }, () => process.disconnect())
}
