/** What an idle database tenant costs, measured in a process of its own: at most 60 KB of heap beyond its socket, 0.5 ms to open. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { assert } from 'chai'
import { serverUrl } from '../helpers/postgres.ts'

const HEAP_KB = 60
const OPEN_MS = 0.5

async function cost(...databases: string[]): Promise<{ readonly openMs: number; readonly heapKb: number }> {
  const file = join(import.meta.dirname, 'cost.ts')
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', file, serverUrl(), ...databases])
  return JSON.parse(stdout) as { openMs: number; heapKb: number }
}

describe('the cost of an idle database tenant', function () {
  this.timeout(60_000)

  it('is small when its pool was opened and never connected', async () => {
    const { openMs, heapKb } = await cost()
    assert.isBelow(openMs, OPEN_MS, 'milliseconds to open a pool')
    assert.isBelow(heapKb, HEAP_KB, 'KB of heap for a pool')
  })

  it('is small when its pool was used, and its sockets are closed', async () => {
    const { heapKb } = await cost('postgres')
    assert.isBelow(heapKb, HEAP_KB, 'KB of heap for a pool')
  })
})
