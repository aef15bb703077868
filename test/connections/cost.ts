/**
 * What a database tenant costs that is open and idle. Run as `node --expose-gc test/connections/cost.ts <url> <database>…`; it prints one line
 * of JSON. Without databases it opens pools that never connect; with them, one pool a database, which connect and whose sockets time out.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { RuntimeOrm } from '../../src/strategies/runtime-orm.ts'
import { classifyOptions } from '../../src/options.ts'
import { withDatabase } from '../../src/connections/settings.ts'
import { entities } from '../helpers/tenancy.ts'

const POOLS = 200
const [url = '', ...databases] = process.argv.slice(2)
const gc = (globalThis as { gc?: () => void }).gc!
const pool = { max: 4, idleTimeoutMillis: 200, connectionTimeoutMillis: 20_000, maxLifetimeSeconds: 0 }
const limits = { total: 40, perServer: 60, waitMs: 20_000, maxWaiting: 1000 }
const orm = await RuntimeOrm.create({ entities: classifyOptions({ entities } as never), url, pool, pooled: false, limits })
const open = (index: number) =>
  orm.openDatabase(`t${index}`, withDatabase(url, databases[index % databases.length] ?? `d${index}`), pool, { pooled: false })

async function heap(): Promise<number> {
  for (let turn = 0; turn < 4; turn++) {
    gc()
    await sleep(30)
  }
  return process.memoryUsage().heapUsed
}

// The first ones pay for what all share.
const warm = Array.from({ length: 20 }, (_, index) => open(index))
if (databases.length > 0) for (const connection of warm) await connection.execute('select 1')
const before = await heap()
const begun = performance.now()
const kept = Array.from({ length: POOLS }, (_, index) => open(index))
const openMs = (performance.now() - begun) / POOLS
if (databases.length > 0) {
  for (let index = 0; index < POOLS; index += 10) await Promise.all(kept.slice(index, index + 10).map(each => each.execute('select 1')))
  while (orm.statistics().connections.open > 0) await sleep(50)
}
const heapKb = ((await heap()) - before) / POOLS / 1024
process.stdout.write(`${JSON.stringify({ pools: kept.length + warm.length, openMs, heapKb })}\n`)
process.exit(0)
