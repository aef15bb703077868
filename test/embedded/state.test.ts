import { assert } from 'chai'
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startEmbedded } from '../../src/embedded/start-embedded.ts'
import { query } from '../helpers/postgres.ts'
import { addRow, cleanUp, FAST, newFolder, postmasterPid, rows, serverRuns, useInChild } from './harness.ts'

describe('startEmbedded with its password lost', () => {
  afterEach(cleanUp)

  const damages: Record<string, (file: string) => void> = {
    'an empty file': file => writeFileSync(file, ''),
    'half a file': file => writeFileSync(file, readFileSync(file, 'utf8').slice(0, 60)),
    'JSON of another shape': file => writeFileSync(file, '{"password":"x","cluster":"../../etc"}'),
    'no file': file => rmSync(file),
  }
  for (const [name, damage] of Object.entries(damages)) {
    it(`keeps the data and sets a new password: ${name}`, async () => {
      const dataDir = newFolder()
      const file = join(dataDir, 'postgres.json')
      const first = await startEmbedded({ dataDir, settings: FAST })
      await addRow(first.url, 'kept')
      await first.stop()
      damage(file)
      await using second = await startEmbedded({ dataDir, settings: FAST })
      assert.deepEqual(await rows(second.url), ['kept'])
      assert.notEqual(new URL(second.url).password, new URL(first.url).password)
      assert.equal(statSync(file).mode & 0o777, 0o600)
    })
  }

  it('does so too when a killed application left the server running', async () => {
    const dataDir = newFolder()
    const child = await useInChild({ dataDir })
    await addRow(child.answer.url, 'kept')
    await child.end('SIGKILL')
    writeFileSync(join(dataDir, 'postgres.json'), '')
    await using here = await startEmbedded({ dataDir, settings: FAST })
    assert.isFalse(here.attached)
    assert.deepEqual(await rows(here.url), ['kept'])
  })

  it('is refused while a living application uses the server, which is left alone', async () => {
    const dataDir = newFolder()
    const child = await useInChild({ dataDir })
    const file = join(dataDir, 'postgres.json')
    const text = readFileSync(file, 'utf8')
    const pid = postmasterPid(dataDir)
    writeFileSync(file, '')
    const second = await useInChild({ dataDir })
    assert.equal(second.answer.code, 'EMBEDDED_IN_USE')
    assert.match(second.answer.message ?? '', new RegExp(`process ${child.process.pid}\\b`))
    writeFileSync(file, text)
    await query(child.answer.url, 'select 1')
    assert.equal(postmasterPid(dataDir), pid)
    await child.end('stop')
    assert.isFalse(serverRuns(dataDir))
  })

  it("sets the password of the file again when somebody changed the role's", async () => {
    const dataDir = newFolder()
    const first = await startEmbedded({ dataDir, settings: FAST })
    await addRow(first.url, 'kept')
    await query(first.url, `ALTER ROLE postgres PASSWORD 'another'`)
    await first.stop()
    await using second = await startEmbedded({ dataDir, settings: FAST })
    assert.deepEqual(await rows(second.url), ['kept'])
    assert.equal(new URL(second.url).password, new URL(first.url).password)
  })
})
