/**
 * Takes each guard of the framework out in turn and looks whether the tests notice: `npm run test:mutants -- [--json] [--only <text>] [--at-a-time 2] [--operations 150]`.
 *
 * Each mutant runs in a process of its own, two at a time, each on tenants that are emptied before. A mutant that nobody kills fails the run,
 * and so does anything that is found while every guard is in place.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mochaGlobalSetup, mochaGlobalTeardown, query } from '../test/helpers/postgres.ts'
import type { TestTenancy } from '../test/helpers/tenancy.ts'
import { makeWorld } from '../test/interleaving/make-world.ts'
import { TABLES, type World } from '../test/interleaving/world.ts'
import { MUTANTS } from '../test/mutants/mutants.ts'
import type { Task, Verdict } from '../test/mutants/task.ts'

const CHILD = join(import.meta.dirname, '..', 'test', 'mutants', 'child.ts')
const SIZE = { schemas: 8, databases: 4, slots: 3, pool: { shared: 8, perTenant: 3 } } as const
const CLIENTS = 16
const SEED = 20_261
const NO_END_MS = 60_000
const NOTHING_REMOVED = '(every guard in place)'

interface Row {
  readonly mutant: string
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
const atATime = Number(option('at-a-time', '2'))
const operations = Number(option('operations', '150'))
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
  await query(
    kit.url,
    [...schemas, `update public.tenantkit_tenant set status = 'ready', deleted_at = null, deleted_by = null`, ...restored(kit)].join(';'),
  )
  for (const { isolation, url, schema } of world.places) if (isolation === 'database') await query(url, statements(schema))
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

async function tryOne(site: Site, mutant: string | undefined): Promise<Row> {
  await reset(site)
  const started = Date.now()
  const { database, keys, migrations } = site.kit.options
  const task: Task = {
    ...(mutant === undefined ? {} : { mutant }),
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
  return {
    mutant: mutant ?? NOTHING_REMOVED,
    killedBy: verdict.killedBy,
    finding: verdict.finding,
    broken: verdict.broken,
    seconds: (Date.now() - started) / 1_000,
  }
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

function show({ mutant, killedBy, finding, broken, seconds }: Row): void {
  const outcome = broken === undefined ? (killedBy ?? (mutant === NOTHING_REMOVED ? 'nothing found' : 'SURVIVED')) : `BROKEN: ${broken}`
  say(`${mutant.padEnd(58)} | ${outcome.padEnd(52)} | ${seconds.toFixed(1)}`)
  if (process.env['MUTANTS_VERBOSE'] && finding !== undefined) say(`    ${finding.slice(0, 300)}`)
}

async function run(): Promise<number> {
  const started = Date.now()
  const sites = await Promise.all(Array.from({ length: atATime }, () => makeWorld(SIZE)))
  try {
    await Promise.all(sites.map(site => keepSharedRows(site)))
    say(`${'mutant'.padEnd(58)} | ${'killed by'.padEnd(52)} | seconds`)
    const queue: (string | undefined)[] = [undefined, ...MUTANTS.map(({ name }) => name).filter(name => name.includes(only))]
    const rows: Row[] = []
    const worker = async (site: Site): Promise<void> => {
      while (queue.length > 0) {
        const row = await tryOne(site, queue.shift())
        rows.push(row)
        show(row)
      }
    }
    await Promise.all(sites.map(site => worker(site)))
    return report(rows, (Date.now() - started) / 1_000)
  } finally {
    for (const { kit } of sites) await kit[Symbol.asyncDispose]()
  }
}

function report(rows: readonly Row[], seconds: number): number {
  const [whole] = rows.filter(({ mutant }) => mutant === NOTHING_REMOVED)
  const mutants = rows.filter(row => row !== whole)
  const survived = mutants.filter(({ killedBy }) => killedBy === undefined)
  const problems = [
    ...survived.map(({ mutant, broken }) => (broken === undefined ? `survived: ${mutant}` : `broken: ${mutant}: ${broken}`)),
    ...(whole?.killedBy === undefined && whole?.broken === undefined
      ? []
      : [`with every guard in place: ${whole.finding ?? whole.broken} (${whole.killedBy})`]),
  ]
  for (const problem of problems) say(problem)
  if (asJson)
    process.stdout.write(`${JSON.stringify({ seconds, killed: mutants.length - survived.length, survived: survived.length, rows })}\n`)
  say(`${mutants.length - survived.length} killed, ${survived.length} survived in ${seconds.toFixed(0)} s`)
  return problems.length === 0 ? 0 : 1
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
