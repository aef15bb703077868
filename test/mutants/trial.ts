/** The trial of one mutant on a database: the interleaving engine, then the probes. */
import { createTenancy, defineTenancy } from 'mikro-tenantkit'
import { entities } from '../helpers/tenancy.ts'
import { interleave } from '../interleaving/engine.ts'
import type { Place, World } from '../interleaving/world.ts'
import { CONTEXT_PROBES } from './context-probes.ts'
import { PLANE_PROBES } from './plane-probes.ts'
import type { Ground, Probe } from './probe.ts'
import { STRICT_PROBES } from './strict-probes.ts'
import type { Task, Verdict } from './task.ts'
import { TENANT_PROBES } from './tenant-probes.ts'

const WAIT_MS = 5_000
const PROBE_MS = 20_000
const ALL_PROBES = { ...TENANT_PROBES, ...CONTEXT_PROBES, ...PLANE_PROBES }

export async function tryMutant(task: Task): Promise<Verdict> {
  const { controlUrl: url, directUrl, slots, pool, places, operations, clients, seed } = task
  const open = () =>
    createTenancy(
      defineTenancy({
        entities,
        database: { url, directUrl, pooled: directUrl !== undefined },
        keys: task.keys,
        naming: { prefix: task.prefix },
        migrations: { path: task.migrations },
        isolation: { strict: task.strict },
        pool: { ...pool, maxTenants: slots, waitMs: WAIT_MS },
      }),
    )
  const tenancy = await open()
  const world: World = { tenancy, controlUrl: directUrl ?? url, places, slots, pool }
  const [acme, initech, globex, hooli] = ['s-0', 's-1', 'd-0', 'd-1'].map(slug => places.find(place => place.slug === slug)!) as [
    Place,
    Place,
    Place,
    Place,
  ]
  const ground: Ground = { world, tenancy, open, acme, initech, globex, hooli }
  const probes: Readonly<Record<string, Probe>> = task.strict ? STRICT_PROBES : task.probes === 'context' ? CONTEXT_PROBES : ALL_PROBES
  const tried = (name: string, probe: Probe): Promise<Verdict | undefined> =>
    Promise.race([probe(ground).then(() => undefined, String), outOfTime()]).then(finding =>
      finding === undefined ? undefined : { killedBy: `probe: ${name}`, finding },
    )
  const first = task.first === undefined ? undefined : probes[task.first]
  const known = first === undefined ? undefined : await tried(task.first!, first)
  if (known !== undefined) return known
  if (task.probes === undefined) {
    const { findings } = await interleave(world, { operations, clients, seed, stopAtFirst: true })
    if (findings.length > 0) return { killedBy: 'interleaving', finding: findings[0]! }
  }
  for (const [name, probe] of Object.entries(probes)) {
    const verdict = await tried(name, probe)
    if (verdict !== undefined) return verdict
  }
  return {}
}

function outOfTime(): Promise<string> {
  return new Promise(resolve => {
    // It keeps the process: a probe may wait for what nothing will ever bring. Whoever has the answer ends the process.
    setTimeout(() => resolve(`no answer within ${PROBE_MS} ms`), PROBE_MS)
  })
}
