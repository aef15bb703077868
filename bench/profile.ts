/**
 * `node bench/profile.ts [clients]`: where the processor's time of a request goes, on each side.
 *
 * It writes `bench/results/<side>.cpuprofile` for a browser's developer tools, and prints microseconds of each request by package or folder.
 * Processor time can be compared on a machine that does other things meanwhile.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openBench } from './bench.ts'
import { QUICK } from './harness/group.ts'
import { alternate } from './harness/rounds.ts'
import type { Profile, ServerProcess } from './harness/server-process.ts'
import { median } from './harness/statistics.ts'
import { inTurn, requests, requestsOf, startServer } from './rows/requests.ts'

const SIDES = ['tenancy', 'plain'] as const
const WARM_UP = 4000
const PER_ROUND = 400
const ROUNDS = 12
const PROFILED = 4000
const SHOWN = 40
const RESULTS = join(import.meta.dirname, 'results')

/** Self time by a key of each node, in microseconds for each request. */
function selfTimes(profile: Profile, keyOf: (url: string, name: string, line: number) => string): Map<string, number> {
  const times = new Map<number, number>()
  profile.samples.forEach((id, index) => times.set(id, (times.get(id) ?? 0) + profile.timeDeltas[index]!))
  const sums = new Map<string, number>()
  for (const { id, callFrame } of profile.nodes) {
    const key = keyOf(callFrame.url, callFrame.functionName, callFrame.lineNumber + 1)
    sums.set(key, (sums.get(key) ?? 0) + (times.get(id) ?? 0) / PROFILED)
  }
  return sums
}

/** `@mikro-orm/core`, `src/strategies`, `node:internal/streams`, `(garbage collector)`. */
function placeOf(url: string, name: string): string {
  const dependency = /node_modules\/(?!.*node_modules\/)((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]
  if (dependency !== undefined) return dependency
  const own = /\/((?:src|bench)(?:\/[^/]+)?)\/[^/]+$/.exec(url)?.[1]
  if (own !== undefined) return own
  if (url.startsWith('node:')) return url.split('/').slice(0, 2).join('/')
  return url === '' ? name : url
}

function functionOf(url: string, name: string, line: number): string {
  const file = /(?:node_modules|mikro-tenantkit|main)\/(?!.*node_modules\/)(.+)$/.exec(url)?.[1] ?? url
  return `${name || '(anonymous)'} ${file}:${line}`
}

function print(title: string, times: readonly Map<string, number>[], shown: number): void {
  const idle = new Set(['(idle)', '(program)', '(idle) :0', '(program) :0'])
  const keys = [...new Set(times.flatMap(map => [...map.keys()]))].filter(key => !idle.has(key))
  const lines = keys.map(key => ({ key, us: times.map(map => map.get(key) ?? 0) }))
  const difference = ({ us }: { us: readonly number[] }): number => us[0]! - us[1]!
  console.log(`\n${title}: microseconds of a request (${SIDES.join(', ')}, difference)`)
  for (const line of lines.toSorted((one, other) => difference(other) - difference(one)).slice(0, shown))
    console.log(`${[...line.us, difference(line)].map(us => us.toFixed(1).padStart(8)).join('')}  ${line.key}`)
  const sums = times.map((_, side) => lines.reduce((sum, { us }) => sum + us[side]!, 0))
  console.log(`${[...sums, sums[0]! - sums[1]!].map(us => us.toFixed(1).padStart(8)).join('')}  all`)
}

async function cpuOf(server: ServerProcess, work: () => Promise<unknown>): Promise<number> {
  const before = await server.cpu()
  await work()
  return (await server.cpu()) - before
}

async function main(count: number): Promise<void> {
  const say = (line: string): void => void process.stderr.write(`${line}\n`)
  await using bench = await openBench(QUICK, [requests], randomBytes(32).toString('hex'), say)
  const servers: ServerProcess[] = []
  try {
    for (const side of SIDES) servers.push(await startServer(bench, side))
    const prepared = await requestsOf(bench.secret, bench.schemas[0]!)
    const runs = await Promise.all(
      servers.map(async server => {
        const clients = await server.clients(count)
        const next = inTurn(prepared)
        return (number: number) => clients.runAll(Array.from({ length: number }, next))
      }),
    )
    for (const run of runs) await run(WARM_UP)
    const rounds = await alternate(
      ROUNDS,
      runs.map((run, index) => async () => (await cpuOf(servers[index]!, () => run(PER_ROUND))) / PER_ROUND),
    )
    const [a, b, ratio] = [rounds.map(([us]) => us!), rounds.map(([, us]) => us!), rounds.map(([one, other]) => one! / other!)].map(median)
    console.log(`processor time of a request, ${count} at once: ${a!.toFixed(0)} : ${b!.toFixed(0)} us, ratio ${ratio!.toFixed(3)}`)
    const profiles: Profile[] = []
    await mkdir(RESULTS, { recursive: true })
    for (const [index, run] of runs.entries()) {
      const profile = await servers[index]!.profile(() => run(PROFILED))
      profiles.push(profile)
      await writeFile(join(RESULTS, `${SIDES[index]!}.cpuprofile`), JSON.stringify(profile))
    }
    print(
      'packages',
      profiles.map(profile => selfTimes(profile, placeOf)),
      SHOWN,
    )
    print(
      'functions',
      profiles.map(profile => selfTimes(profile, functionOf)),
      SHOWN,
    )
  } finally {
    for (const server of servers) await server[Symbol.asyncDispose]()
  }
}

await main(Number(process.argv[2] ?? 8))
