import { assert } from 'chai'
import { processMark, signal } from '../../src/embedded/processes.ts'
import { startEmbedded } from '../../src/embedded/start-embedded.ts'
import { addRow, cleanUp, FAST, newFolder, postmasterPid, rows, useInChild } from './harness.ts'

describe('startEmbedded beside a server that hangs', () => {
  afterEach(cleanUp)

  it('replaces a server that does not answer', async function () {
    this.timeout(40_000)
    const dataDir = newFolder()
    const child = await useInChild({ dataDir })
    await addRow(child.answer.url, 'committed')
    await child.end('SIGKILL')
    signal(processMark(postmasterPid(dataDir))!, 'SIGSTOP')
    const lines: string[] = []
    await using here = await startEmbedded({ dataDir, settings: FAST, log: line => lines.push(line) })
    assert.isFalse(here.attached)
    assert.match(lines.join('\n'), /does not answer; it is replaced/)
    assert.deepEqual(await rows(here.url), ['committed'])
  })
})
