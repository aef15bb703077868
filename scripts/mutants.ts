/**
 * Takes each guard of the framework out in turn and looks whether the tests notice: `npm run test:mutants -- [--json] [--only <text>,<text>] [--at-a-time 3] [--operations 100] [--remember]`.
 *
 * Each mutant runs in a process of its own, three at a time, each on tenants that are emptied before. A mutant that nobody kills fails the run,
 * and so does anything that is found while every guard is in place. What killed each the last time stands in `test/mutants/killers.json` and is
 * tried first; `--remember` writes that file. The last line is `N passed, N failed`, the killed and the others; with
 * MOCHA_TOTALS_FILE set it is appended to that file, as mocha's totals are.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mochaGlobalSetup, mochaGlobalTeardown, query } from '../test/helpers/postgres.ts'
import type { TestTenancy } from '../test/helpers/tenancy.ts'
import { makeWorld } from '../test/interleaving/make-world.ts'
import { TABLES, type World } from '../test/interleaving/world.ts'
import type { Mutant } from '../test/mutants/mutant.ts'
import { MUTANTS } from '../test/mutants/mutants.ts'
import type { Task, Verdict } from '../test/mutants/task.ts'

const CHILD = join(import.meta.dirname, '..', 'test', 'mutants', 'child.ts')
const KILLERS = join(import.meta.dirname, '..', 'test', 'mutants', 'killers.json')
const SIZE = { schemas: 8, databases: 4, slots: 3, pool: { shared: 8, perTenant: 3 } } as const
const CLIENTS = 16
const SEED = 20_261
const NO_END_MS = 60_000
const NOTHING_REMOVED = '(every guard in place)'
/** What is tried: a mutant, or nothing taken out. */
type Trial = Pick<Mutant, 'name' | 'finds' | 'probes'> & { readonly strict?: boolean; readonly isWhole?: boolean }
const WHOLE: readonly Trial[] = [
  { name: NOTHING_REMOVED, isWhole: true },
  { name: `${NOTHING_REMOVED.slice(0, -1)}, strict mode)`, isWhole: true, strict: true },
]

interface Row {
  readonly mutant: string
  readonly isWhole: boolean
  readonly killedBy: string | undefined
  readonly finding: string | undefined
  readonly broken: string | undefined
  readonly seconds: number
}
interface Site {
  readonly kit: TestTenancy
  readonly world: World
}

const asJson = process.argv.includes('--json')
const option = (name: string, otherwise: string): string =>
  process.argv.includes(`--${name}`) ? (process.argv[process.argv.indexOf(`--${name}`) + 1] ?? '') : otherwise
const only = option('only', '')
const atATime = Number(option('at-a-time', '3'))
const operations = Number(option('operations', '100'))
const killers = JSON.parse(readFileSync(KILLERS, 'utf8')) as Readonly<Record<string, string>>
const say = (line: string): void => void (asJson ? process.stderr : process.stdout).write(`${line}\n`)
/** Every child loads the same modules but one. */
const compiled = mkdtempSync(join(tmpdir(), 'tenantkit-mutants-'))
const children = new Set<ReturnType<typeof spawn>>()

/** Empties the tenants, and puts back what a mutant may have changed in the control plane. */
async function reset({ kit, world }: Site): Promise<void> {
  const names = [world.controlUrl, ...world.places.map(({ url }) => url)].map(url => decodeURIComponent(new URL(url).pathname.slice(1)))
  await query(
    world.controlUrl,
    `select pg_terminate_backend(pid, 2000) from pg_stat_activity where datname = any($1) and application_name like 'mikro-tenantkit%'`,
    [names],
  )
  const emptied = ['book_tags', ...TABLES.filter(table => table !== 'book_tags').reverse()]
  const statements = (schema: string) => emptied.map(table => `delete from "${schema}"."${table}"`).join(';')
  const schemas = world.places.filter(({ isolation }) => isolation === 'schema').map(({ schema }) => statements(schema))
  await query(kit.url, [...schemas, backInService(world), ...restored(kit)].join(';'))
  for (const { isolation, url, schema } of world.places) if (isolation === 'database') await query(url, statements(schema))
}

/** Without the tenants that probes made for themselves. */
function backInService({ places }: World): string {
  const slugs = places.map(({ slug }) => `'${slug}'`).join(',')
  return `update public.tenantkit_tenant set status = 'ready', deleted_at = null, deleted_by = null where slug in (${slugs})`
}

/** The shared rows as they were in the beginning. */
const sharedRows = new WeakMap<TestTenancy, readonly string[]>()
const restored = (kit: TestTenancy): readonly string[] => sharedRows.get(kit) ?? []

async function keepSharedRows({ kit }: Site): Promise<void> {
  await query(
    kit.url,
    `create schema kept; create table kept.country as table public.country; create table kept.notice as table public.notice`,
  )
  sharedRows.set(
    kit,
    ['country', 'notice'].flatMap(table => [`delete from public.${table}`, `insert into public.${table} select * from kept.${table}`]),
  )
}

async function tryOne(site: Site, { name, isWhole = false, strict = false, finds, probes }: Trial): Promise<Row> {
  await reset(site)
  const started = Date.now()
  const { database, keys, migrations } = site.kit.options
  const task: Task = {
    ...(isWhole ? {} : { mutant: name }),
    strict,
    probes: strict && !isWhole ? 'strict' : probes,
    first: isWhole ? undefined : killers[name],
    controlUrl: database.url as string,
    directUrl: database.directUrl,
    keys: keys as string,
    prefix: site.kit.prefix,
    migrations: migrations.path,
    places: site.world.places,
    slots: site.world.slots,
    pool: site.world.pool,
    operations,
    clients: CLIENTS,
    seed: SEED,
  }
  const verdict = await runChild(task)
  const { killedBy, finding } = verdict
  // Killed, but not for what is missing: that would have been found with one of its guards in place.
  const other = killedBy !== undefined && finds !== undefined && finding?.includes(finds) !== true
  const broken = other ? `found by ${killedBy}: ${finding}, and not: ${finds}` : verdict.broken
  return { mutant: name, isWhole, killedBy: other ? undefined : killedBy, finding, broken, seconds: (Date.now() - started) / 1_000 }
}

async function runChild(task: Task): Promise<Verdict> {
  const child = spawn(process.execPath, [CHILD], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, MUTANT_TASK: JSON.stringify(task), NODE_COMPILE_CACHE: compiled },
  })
  children.add(child)
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const timer = setTimeout(() => child.kill('SIGKILL'), NO_END_MS)
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  children.delete(child)

  const line = output.trim().split('\n').at(-1) ?? ''
  if (line.startsWith('{')) return JSON.parse(line) as Verdict
  if (code === null) return { killedBy: 'time', finding: `no end within ${NO_END_MS / 1_000} s` }
  return { broken: `the process ended with ${code}: ${errors.slice(-2_000)}` }
}

function show({ mutant, isWhole, killedBy, finding, broken, seconds }: Row): void {
  const outcome = broken === undefined ? (killedBy ?? (isWhole ? 'nothing found' : 'SURVIVED')) : `BROKEN: ${broken}`
  say(`${mutant.padEnd(58)} | ${outcome.padEnd(52)} | ${seconds.toFixed(1)}`)
  if (process.env['MUTANTS_VERBOSE'] && finding !== undefined) say(`    ${finding.slice(0, 300)}`)
}

async function run(): Promise<number> {
  const started = Date.now()
  const sites = await Promise.all(Array.from({ length: atATime }, () => makeWorld({ ...SIZE, extra: { isolation: { strict: true } } })))
  try {
    await Promise.all(sites.map(site => keepSharedRows(site)))
    say(`${'mutant'.padEnd(58)} | ${'killed by'.padEnd(52)} | seconds`)
    const queue: Trial[] = [...WHOLE, ...MUTANTS.filter(({ name }) => only.split(',').some(text => name.includes(text)))]
    const rows: Row[] = []
    const worker = async (site: Site): Promise<void> => {
      while (queue.length > 0) {
        const row = await tryOne(site, queue.shift()!)
        rows.push(row)
        show(row)
      }
    }
    await Promise.all(sites.map(site => worker(site)))
    if (process.argv.includes('--remember')) remember(rows)
    return report(rows, (Date.now() - started) / 1_000)
  } finally {
    for (const { kit } of sites) await kit[Symbol.asyncDispose]()
  }
}

/** Of mutants that were killed by something with a database; those of a part are quick to find. */
function remember(rows: readonly Row[]): void {
  const found = rows.flatMap(({ mutant, killedBy }) => {
    const killer = killedBy === 'interleaving' ? killedBy : /^probe: (.*)$/.exec(killedBy ?? '')?.[1]
    return killer === undefined ? [] : [[mutant, killer] as const]
  })
  const sorted = found.toSorted(([one], [other]) => (one < other ? -1 : 1))
  writeFileSync(KILLERS, `${JSON.stringify(Object.fromEntries(sorted), undefined, 2)}\n`)
}

function report(rows: readonly Row[], seconds: number): number {
  const mutants = rows.filter(({ isWhole }) => !isWhole)
  const survived = mutants.filter(({ killedBy }) => killedBy === undefined)
  const wrong = rows.filter(({ isWhole, killedBy, broken }) => isWhole && (killedBy !== undefined || broken !== undefined))
  for (const { mutant, broken } of survived) say(broken === undefined ? `survived: ${mutant}` : `broken: ${mutant}: ${broken}`)
  for (const { mutant, killedBy, finding, broken } of wrong) say(`${mutant}: ${finding ?? broken} (${killedBy})`)
  const [passed, failed] = [mutants.length - survived.length, survived.length + wrong.length]
  if (asJson) process.stdout.write(`${JSON.stringify({ seconds, killed: passed, survived: survived.length, rows })}\n`)
  say(`${passed} killed, ${survived.length} survived in ${seconds.toFixed(0)} s`)
  const file = process.env['MOCHA_TOTALS_FILE']
  if (file) appendFileSync(file, `${passed} ${failed} 0\n`)
  say(`${passed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(name, () => {
    for (const child of children) child.kill('SIGKILL')
    rmSync(compiled, { recursive: true, force: true })
    process.exit(130)
  })
}
await mochaGlobalSetup()
try {
  process.exitCode = await run()
} finally {
  await mochaGlobalTeardown()
  rmSync(compiled, { recursive: true, force: true })
}
