import { assert } from 'chai'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startEmbedded } from '../../src/embedded/start-embedded.ts'
import type { TenancyError } from '../../src/errors.ts'
import { addRow, cleanUp, FAST, newFolder, postmasterPid, useInChild } from './harness.ts'

const CONTAINER = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']

describe('a data folder shared with another container', () => {
  afterEach(cleanUp)

  it('is refused while an application there uses it, whose server cannot be seen from here', async function () {
    if (spawnSync(CONTAINER[0]!, [...CONTAINER.slice(1), 'true']).status !== 0) this.skip()
    const dataDir = newFolder()
    const here = await useInChild({ dataDir })
    const pid = postmasterPid(dataDir)
    // The other way round: from inside, neither this application nor its server exists.
    const inside = await useInChild({ dataDir }, { wrapper: CONTAINER })
    assert.equal(inside.answer.code, 'EMBEDDED_IN_USE')
    assert.match(inside.answer.message ?? '', /another container/)
    assert.equal(postmasterPid(dataDir), pid)
    await addRow(here.answer.url, 'unharmed')
    await here.end('stop')
  })

  it('is free when the registration from there has been silent for long', async () => {
    const dataDir = newFolder()
    const users = join(dataDir, 'postgres.users')
    mkdirSync(users)
    const file = join(users, '7-abc.json')
    writeFileSync(file, JSON.stringify({ pid: 7, started: 'elsewhere|1' }))
    const old = Date.now() / 1000 - 60
    utimesSync(file, old, old)
    await using here = await startEmbedded({ dataDir, settings: FAST }).catch((error: TenancyError) => assert.fail(error.message))
    assert.isFalse(here.attached)
    assert.lengthOf(readdirSync(users), 1)
  })
})
