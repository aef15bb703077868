/** `npm run bench`: sets up, measures, reports. */
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArguments, usage, UsageError, type Arguments } from './harness/arguments.ts'
import { FULL, QUICK, type Group } from './harness/group.ts'
import { machineOf, toJson, toTable, type BenchDocument, type Row } from './harness/report.ts'

/** Loaded when they are run: a wrong command line is refused at once. */
const GROUPS: Readonly<Record<string, () => Promise<Group>>> = {
  requests: async () => (await import('./rows/requests.ts')).requests,
  'many-schemas': async () => (await import('./rows/many-schemas.ts')).manySchemas,
  'many-databases': async () => (await import('./rows/many-databases.ts')).manyDatabases,
  provisioning: async () => (await import('./rows/provisioning.ts')).provisioning,
  'flush-guard': async () => (await import('./rows/flush-guard.ts')).flushGuard,
  history: async () => (await import('./rows/history.ts')).history,
  directory: async () => (await import('./rows/directory.ts')).directory,
  audit: async () => (await import('./rows/audit.ts')).audit,
  strict: async () => (await import('./rows/strict.ts')).strict,
  admin: async () => (await import('./rows/admin.ts')).admin,
  // Last: it changes the tables of the tenants that all groups share.
  fleet: async () => (await import('./rows/fleet.ts')).fleet,
}
const NAMES = Object.keys(GROUPS)
const RESULTS = join(import.meta.dirname, 'results')

const say = (line: string): void => void process.stderr.write(`${line}\n`)

async function run({ quick, only }: Arguments): Promise<BenchDocument> {
  const sizes = quick ? QUICK : FULL
  const { openBench } = await import('./bench.ts')
  const groups = await Promise.all(NAMES.filter(name => only.length === 0 || only.includes(name)).map(name => GROUPS[name]!()))
  const begun = performance.now()
  await using bench = await openBench(sizes, groups, randomBytes(32).toString('hex'), say)
  const setUp = performance.now() - begun
  say(`set up in ${(setUp / 1000).toFixed(1)} s`)
  const rows: Row[] = []
  let measuring = 0
  for (const group of groups) {
    await using prepared = await group.prepare(bench)
    const started = performance.now()
    rows.push(...(await prepared.measure()))
    measuring += performance.now() - started
    say(`${group.name}: ${((performance.now() - started) / 1000).toFixed(1)} s`)
  }
  const machine = machineOf({
    postgresql: bench.version,
    quick,
    set_up_seconds: (performance.now() - begun - measuring) / 1000,
    measuring_seconds: measuring / 1000,
  })
  return { machine, rows }
}

async function main(): Promise<void> {
  const asked = parseArguments(process.argv.slice(2), NAMES)
  if (asked.help) return void process.stdout.write(usage(NAMES))
  const document = await run(asked)
  await mkdir(RESULTS, { recursive: true })
  await writeFile(join(RESULTS, 'latest.json'), toJson(document))
  process.stdout.write(asked.json ? toJson(document) : `${toTable(document.rows)}\n`)
}

try {
  await main()
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  say(`${error.message}\n\n${usage(NAMES)}`)
  process.exitCode = 2
}
