/** Many database tenants over few slots, visited by many clients at random, and a look at the server while they do. */
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { Client } from 'pg'
import { currentTenant, em } from 'mikro-tenantkit'
import { databaseUrl, query, serverUrl } from '../helpers/postgres.ts'
import { Tag, ada, type TestTenancy } from '../helpers/tenancy.ts'

/** Provisions `count` database tenants, several at a time, and answers their slugs. */
export async function manyTenants(kit: TestTenancy, count: number): Promise<string[]> {
  const slugs = Array.from({ length: count }, (_, index) => `db-${String(index).padStart(3, '0')}`)
  const left = [...slugs]
  const provision = async () => {
    for (let slug = left.shift(); slug !== undefined; slug = left.shift())
      await kit.tenancy.provision({ slug, name: slug, isolation: 'database' })
  }
  await kit.asSystem(() => Promise.all([provision(), provision(), provision()]))
  return slugs
}

/** The tenancy's connections as the server sees them: how many to tenants' databases (or one's), and how many to the control plane's. */
export async function backends(client: Client, kit: TestTenancy, slug = ''): Promise<{ tenants: number; shared: number }> {
  const { rows } = await client.query<{ tenants: number; shared: number }>(
    `select count(*) filter (where starts_with(datname, $1))::int as tenants, count(*) filter (where datname = $2)::int as shared
     from pg_stat_activity where application_name = 'mikro-tenantkit' and backend_type = 'client backend'`,
    [`${kit.prefix}_${slug.replaceAll('-', '_')}`, new URL(kit.url).pathname.slice(1)],
  )
  return rows[0]!
}

/** Counts backends over and over while work runs: the most that were there at once. */
export async function mostBackends(
  kit: TestTenancy,
  work: () => Promise<unknown>,
  slug?: string,
): Promise<{ tenants: number; shared: number; looks: number }> {
  const client = new Client({ connectionString: serverUrl(), application_name: 'onlooker' })
  await client.connect()
  const most = { tenants: 0, shared: 0, looks: 0 }
  let over = false
  const look = async () => {
    while (!over) {
      const now = await backends(client, kit, slug)
      most.tenants = Math.max(most.tenants, now.tenants)
      most.shared = Math.max(most.shared, now.shared)
      most.looks++
      await sleep(2)
    }
  }
  try {
    await Promise.all([look(), work().finally(() => (over = true))])
    return most
  } finally {
    await client.end()
  }
}

/** Waits until the server sees as many connections to tenants as the tenancy says it has; a backend is listed a moment longer. */
export async function settled(kit: TestTenancy): Promise<{ seen: number; open: number }> {
  const client = new Client({ connectionString: serverUrl() })
  await client.connect()
  try {
    for (let tries = 0; ; tries++) {
      const { open } = kit.tenancy.stats().connections
      const { tenants: seen } = await backends(client, kit)
      if (seen === open || tries > 200) return { seen, open }
      await sleep(20)
    }
  } finally {
    await client.end()
  }
}

export interface ChurnOptions {
  readonly slugs: readonly string[]
  readonly clients: number
  readonly operations: number
  readonly seed: number
}

/** Visits tenants at random: writes, reads, transactions, parallel statements, throws. Then proves that nothing mixed and nothing is left. */
export async function churn(kit: TestTenancy, { slugs, clients, operations, seed }: ChurnOptions): Promise<void> {
  let state = seed
  const random = () => (state = (state * 16_807 + 11) % 2_147_483_647) / 2_147_483_647
  const pause = () => (random() < 0.5 ? undefined : sleep(random() * 4))
  const kept = new Map(slugs.map(slug => [slug, 0]))
  const read = async (slug: string) => {
    for (const { label } of await em().fork().find(Tag, {})) assert.isTrue(label.startsWith(`${slug}:`), `${label} was read in ${slug}`)
  }
  const visits: readonly ((slug: string) => Promise<void>)[] = [
    async slug => {
      em().create(Tag, { label: `${slug}:kept` })
      await em().flush()
      kept.set(slug, kept.get(slug)! + 1)
    },
    async slug => {
      await read(slug)
      await pause()
      await read(slug)
    },
    // As many at once as the pool has connections, and more.
    slug => Promise.all([read(slug), read(slug), read(slug)]).then(() => undefined),
    async slug => {
      await em().transactional(async () => {
        em().create(Tag, { label: `${slug}:in a transaction` })
        await em().flush()
        await pause()
      })
      kept.set(slug, kept.get(slug)! + 1)
    },
    async slug => {
      const undone = em().transactional(async () => {
        em().create(Tag, { label: `${slug}:undone` })
        await em().flush()
        throw new RangeError('undo')
      })
      await undone.catch((error: unknown) => assert.instanceOf(error, RangeError))
    },
  ]
  const failures: string[] = []
  let left = operations
  const client = async () => {
    while (left-- > 0) {
      const slug = slugs[Math.floor(random() * slugs.length)]!
      const visit = visits[Math.floor(random() * visits.length)]!
      const work = async () => {
        assert.equal(currentTenant().slug, slug)
        await pause()
        await visit(slug)
      }
      await kit.tenancy.run(slug, work, { actor: ada }).catch((error: Error & { code?: string }) => {
        failures.push(`${slug}: ${error.code ?? ''} ${error.message}`)
      })
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  const message = `seed ${seed}`
  assert.deepEqual(failures.slice(0, 5), [], message)
  const { leases, databases, connections } = kit.tenancy.stats()
  assert.equal(leases, 0, message)
  assert.deepInclude(databases, { inUse: 0, waiting: 0 }, message)
  assert.deepInclude(connections, { inUse: 0, waiting: 0, rejected: 0 }, message)
  for (const slug of slugs) {
    const [row] = await query<{ kept: number; foreign: number }>(
      databaseUrl(`${kit.prefix}_${slug.replaceAll('-', '_')}`),
      'select count(*)::int as kept, count(*) filter (where not starts_with(label, $1))::int as foreign from tenant.tag',
      [`${slug}:`],
    )
    assert.deepEqual(row, { kept: kept.get(slug)!, foreign: 0 }, `${slug}, ${message}`)
  }
}
