import { assert } from 'chai'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { processMark, waitUntilGone } from '../../src/embedded/processes.ts'
import { startEmbedded } from '../../src/embedded/start-embedded.ts'
import { cleanUp, FAST, newFolder, postmasterPid, serverRuns, useInChild } from './harness.ts'

describe('the end of an application with the embedded server', () => {
  afterEach(cleanUp)

  for (const order of ['exit', 'throw'] as const) {
    it(`stops the server when the application ends by ${order === 'exit' ? 'process.exit' : 'an uncaught error'} without stop()`, async () => {
      const dataDir = newFolder()
      const child = await useInChild({ dataDir })
      await child.end(order)
      assert.isFalse(serverRuns(dataDir))
      assert.equal(postmasterPid(dataDir), 0, 'it closed clean')
    })
  }

  it('stops the server when its data folder was removed under it', async () => {
    const dataDir = join(newFolder(), 'data')
    const here = await startEmbedded({ dataDir, settings: FAST })
    const mark = processMark(postmasterPid(dataDir))!
    rmSync(dataDir, { recursive: true })
    await here.stop()
    assert.isTrue(await waitUntilGone(mark, 1_000))
  })
})
