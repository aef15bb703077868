import { assert } from 'chai'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processMark, processesIn, signal, waitUntilGone } from '../../src/embedded/processes.ts'
import { startEmbedded } from '../../src/embedded/start-embedded.ts'
import { query } from '../helpers/postgres.ts'
import { addRow, cleanUp, clusterOf, FAST, killChildren, newFolder, postmasterPid, rows, serverRuns, useInChild } from './harness.ts'

async function killServer(dataDir: string): Promise<void> {
  const mark = processMark(postmasterPid(dataDir))!
  signal(mark, 'SIGKILL')
  await waitUntilGone(mark, 5_000)
}

describe('startEmbedded after a crash', () => {
  afterEach(cleanUp)

  it('attaches to the server that a killed application left, and stops it at the end', async () => {
    const dataDir = newFolder()
    const child = await useInChild({ dataDir })
    await addRow(child.answer.url, 'committed')
    await child.end('SIGKILL')
    const pid = postmasterPid(dataDir)
    const here = await startEmbedded({ dataDir, settings: FAST })
    assert.isTrue(here.attached)
    assert.equal(postmasterPid(dataDir), pid)
    assert.deepEqual(await rows(here.url), ['committed'])
    await here.stop()
    assert.isFalse(serverRuns(dataDir), 'the dead user does not count')
  })

  it('recovers when application and server were both killed', async () => {
    const dataDir = newFolder()
    const child = await useInChild({ dataDir })
    await addRow(child.answer.url, 'committed')
    await child.end('SIGKILL')
    await killServer(dataDir)
    assert.isAbove(postmasterPid(dataDir), 0, 'the pid file is stale')
    await using here = await startEmbedded({ dataDir, settings: FAST })
    assert.isFalse(here.attached)
    assert.deepEqual(await rows(here.url), ['committed'])
  })

  it('ends backends that outlived their server before it starts another', async () => {
    const dataDir = newFolder()
    const child = await useInChild({ dataDir })
    await addRow(child.answer.url, 'committed')
    // Busy in a loop, a backend does not notice that its server died.
    const busy = query(
      child.answer.url,
      `DO $$ BEGIN PERFORM count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b; END $$`,
    ).catch(() => undefined)
    await sleep(200)
    await child.end('SIGKILL')
    await killServer(dataDir)
    await sleep(300)
    assert.isNotEmpty(processesIn(clusterOf(dataDir), 'postgres'), 'the busy backend runs')
    await using here = await startEmbedded({ dataDir, settings: FAST })
    await busy
    assert.deepEqual(await rows(here.url), ['committed'])
  })

  it('is not misled by a pid file whose pid is another process now', async () => {
    const dataDir = newFolder()
    const first = await startEmbedded({ dataDir, settings: FAST })
    await addRow(first.url, 'committed')
    const file = join(clusterOf(dataDir), 'postmaster.pid')
    const text = readFileSync(file, 'utf8')
    await first.stop()
    writeFileSync(file, text.replace(/^\d+/, String(process.pid)))
    await using here = await startEmbedded({ dataDir, settings: FAST })
    assert.deepEqual(await rows(here.url), ['committed'])
  })

  it('serialises starts at once in several processes: one starts, the others attach', async () => {
    const dataDir = newFolder()
    const all = await Promise.all([1, 2, 3, 4].map(() => useInChild({ dataDir })))
    assert.lengthOf(
      all.filter(child => child.answer.attached),
      3,
    )
    assert.equal(new Set(all.map(child => child.answer.url)).size, 1)
    await Promise.all(all.map(child => child.end('stop')))
    assert.isFalse(serverRuns(dataDir))
    assert.notInclude(readdirSync(dataDir), 'postgres.lock')
  })

  it('loses no row and never refuses while applications are killed at any moment', async function () {
    this.timeout(40_000)
    const dataDir = newFolder()
    const committed: string[] = []
    const first = await useInChild({ dataDir })
    await addRow(first.answer.url, 'r00')
    committed.push('r00')
    await first.end('SIGKILL')
    for (let round = 1; round <= 6; round++) {
      // The first is killed somewhere in its start, the second after its commit; in every other round the server too.
      const doomed = useInChild({ dataDir }).catch(() => undefined)
      await sleep(round * 45)
      if (round % 2 === 0 && postmasterPid(dataDir)) await killServer(dataDir)
      const next = await useInChild({ dataDir })
      const row = `r${String(round).padStart(2, '0')}`
      await addRow(next.answer.url, row)
      committed.push(row)
      await next.end('SIGKILL')
      await (await doomed)?.end('SIGKILL')
    }
    const here = await startEmbedded({ dataDir, settings: FAST })
    assert.deepEqual(await rows(here.url), committed)
    await here.stop()
    assert.isFalse(serverRuns(dataDir))
  })

  it('starts over after an initdb that was killed in the middle', async () => {
    const dataDir = newFolder()
    const doomed = useInChild({ dataDir })
    let draft: string | undefined
    while (!draft) {
      await sleep(2)
      draft = readdirSync(dataDir).find(name => name.startsWith('postgres-init-'))
    }
    const ended = doomed.then(
      () => assert.fail('it should have been killed'),
      () => undefined,
    )
    await killChildren()
    await ended
    assert.isFalse(existsSync(join(dataDir, 'postgres')), 'no half cluster stands there')
    await using here = await startEmbedded({ dataDir, settings: FAST })
    await addRow(here.url, 'works')
    assert.isEmpty(readdirSync(dataDir).filter(name => name.startsWith('postgres-init-')))
  })

  it("takes over a dead process's lock, and a lock that nobody finished writing", async () => {
    const dataDir = newFolder()
    const { started } = processMark(process.pid)!
    const [gone, earlier] = [
      { pid: 2 ** 22 + 1, started },
      { pid: process.pid, started: `${started}0` },
    ]
    for (const text of [JSON.stringify(gone), JSON.stringify(earlier), '']) {
      writeFileSync(join(dataDir, 'postgres.lock'), text)
      await using here = await startEmbedded({ dataDir, settings: FAST })
      assert.isFalse(here.attached)
    }
  })
})
