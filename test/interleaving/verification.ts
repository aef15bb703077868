/** Afterwards, by plain SQL: every row stands in its own tenant, nothing is missing or too many, and nothing is left in use. */
import { setTimeout as sleep } from 'node:timers/promises'
import { databaseOptions, query, serverUrl } from '../helpers/postgres.ts'
import { TABLES, type Field, type Place } from './world.ts'

const SETTLES_MS = 3_000
const TEXTS = { tag: 'label', author: 'name', book: 'title', person: 'email' } as const
/** What must not have been committed. */
const UNDONE = 'rolled back|never flushed|too late|stolen|foreign author'

/** Looks at every tenant's tables and at every connection; what is wrong becomes a finding. */
export async function verify(field: Field): Promise<void> {
  const { places, controlUrl } = field.world
  const schemas = places.filter(({ isolation }) => isolation === 'schema')
  // One statement over all schemas would lock thousands of tables at once.
  for (let at = 0; at < schemas.length; at += 20) await verifyPlaces(field, controlUrl, schemas.slice(at, at + 20))
  for (const place of places) if (place.isolation === 'database') await verifyPlaces(field, place.url, [place])
  await verifyConnections(field)
}

interface Counted {
  readonly slug: string
  readonly name: (typeof TABLES)[number]
  readonly rows: number
  readonly foreign: number
  readonly undone: number
}

async function verifyPlaces(field: Field, url: string, places: readonly Place[]): Promise<void> {
  if (places.length === 0) return
  const counts = places.flatMap(({ slug, schema }) =>
    TABLES.map(table => {
      const text = table === 'book_tags' ? undefined : `"${TEXTS[table]}"`
      const foreign = text === undefined ? '0' : `count(*) filter (where not starts_with(${text}, '${slug}:'))::int`
      const undone = text === undefined ? '0' : `count(*) filter (where ${text} ~ '${UNDONE}')::int`
      return `select '${slug}' as slug, '${table}' as name, count(*)::int as rows, ${foreign} as foreign, ${undone} as undone from "${schema}"."${table}"`
    }),
  )
  for (const { slug, name, rows, foreign, undone } of await query<Counted & Record<string, unknown>>(url, counts.join('\nunion all '))) {
    const expected = field.kept.get(slug)![name]
    field.check(foreign === 0, `foreign rows: ${foreign} in the table ${name} of ${slug}`)
    field.check(undone === 0, `undone rows: ${undone} in the table ${name} of ${slug}`)
    field.check(rows === expected, `the table ${name} of ${slug} has ${rows} rows instead of ${expected}`)
  }
}

/** A pool closes its connections after it was taken out: a moment is given for that, and no more. */
async function verifyConnections(field: Field): Promise<void> {
  const deadline = Date.now() + SETTLES_MS
  for (;;) {
    const problems = await connectionProblems(field)
    if (problems.length === 0) return
    if (Date.now() > deadline) {
      problems.forEach(problem => field.finding(problem))
      return
    }
    await sleep(50)
  }
}

async function connectionProblems({ world }: Field): Promise<string[]> {
  const { leases, shared, databases } = world.tenancy.stats()
  const problems: string[] = []
  const atMost = (what: string, value: number, limit: number): void => {
    if (value > limit) problems.push(`leak: ${value} ${what}, ${limit} allowed`)
  }
  atMost('runs are counted', leases, 0)
  atMost('connections of the shared pool are open', shared.open, world.pool.shared)
  atMost('connections of the shared pool are in use', shared.open - shared.idle, 0)
  atMost('wait for the shared pool', shared.waiting, 0)
  atMost('pools of tenants are in use', databases.inUse, 0)
  atMost('wait for a pool of a tenant', databases.waiting, 0)
  atMost('pools of tenants are open', databases.open, world.slots)
  const names = [world.controlUrl, ...world.places.map(({ url }) => url)].map(url => decodeURIComponent(new URL(url).pathname.slice(1)))
  const backends = await query<{ name: string; state: string; backends: number }>(
    serverUrl(),
    `select datname as name, state, count(*)::int as backends from pg_stat_activity
     where datname = any($1) and application_name = 'mikro-tenantkit' group by 1, 2`,
    [names],
  )
  const control = names[0]
  const sum = (rows: typeof backends): number => rows.reduce((total, row) => total + row.backends, 0)
  atMost('connections stand in a transaction', sum(backends.filter(({ state }) => state?.startsWith('idle in transaction'))), 0)
  // A pooler keeps connections of its own.
  if (databaseOptions(world.controlUrl).pooled === true) return problems
  atMost('connections to the control plane are open', sum(backends.filter(({ name }) => name === control)), world.pool.shared)
  const open = databases.open * world.pool.perTenant
  atMost('connections to databases of tenants are open', sum(backends.filter(({ name }) => name !== control)), open)
  return problems
}
