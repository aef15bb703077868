import { assert } from 'chai'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { KEPT_DAYS } from '../../src/embedded/relocation.ts'
import { canEnter, serverUser } from '../../src/embedded/reach.ts'
import { removeEmbedded, startEmbedded } from '../../src/embedded/start-embedded.ts'
import {
  addRow,
  cleanUp,
  clusterOf,
  FAST,
  isRoot,
  newCheckout,
  newFolder,
  NOBODY,
  postmasterPid,
  programOf,
  rows,
  serverRuns,
  useInChild,
} from './harness.ts'

describe('places of the embedded server, as root', function () {
  before(function () {
    // For anyone else the server's user is himself, and there is nowhere that he alone may enter and the server may not.
    if (!isRoot) this.skip()
  })
  afterEach(cleanUp)

  it('runs under another user, in the data folder when he can reach it', async () => {
    const dataDir = join(newFolder(), 'data')
    await using server = await startEmbedded({ dataDir, settings: FAST })
    assert.include(server.url, '127.0.0.1')
    assert.equal(dirname(clusterOf(dataDir)), dataDir)
    const owner = statSync(`/proc/${postmasterPid(dataDir)}`)
    assert.notEqual(owner.uid, 0)
    assert.equal(statSync(clusterOf(dataDir)).uid, owner.uid)
    const status = readFileSync(`/proc/${postmasterPid(dataDir)}/status`, 'utf8')
    assert.match(status, /^Groups:\s*$/m, "none of root's groups is left")
  })

  it('runs as the owner of the data folder when that is an ordinary user', async () => {
    const dataDir = newFolder()
    chownSync(dataDir, NOBODY.uid, NOBODY.gid)
    await using server = await startEmbedded({ dataDir, settings: FAST })
    assert.isFalse(server.attached)
    assert.equal(statSync(`/proc/${postmasterPid(dataDir)}`).uid, NOBODY.uid)
    for (const name of readdirSync(dataDir)) if (name !== 'postgres.lock') assert.equal(statSync(join(dataDir, name)).uid, NOBODY.uid, name)
  })

  it('puts the cluster elsewhere when the data folder stands where only root may enter, and finds it again', async () => {
    const dataDir = join(newFolder(0o700), '.data')
    const first = await startEmbedded({ dataDir, settings: FAST })
    const cluster = clusterOf(dataDir)
    assert.notInclude(cluster, dataDir)
    assert.isTrue(canEnter(dirname(cluster), serverUser([])))
    assert.equal(statSync(cluster).mode & 0o777, 0o700)
    await addRow(first.url, 'kept')
    await first.stop()
    const child = await useInChild({ dataDir })
    await child.end('SIGKILL')
    const second = await startEmbedded({ dataDir, settings: FAST })
    assert.isTrue(second.attached)
    assert.deepEqual(await rows(second.url), ['kept'])
    await second.stop()
    assert.isFalse(serverRuns(dataDir))
    await removeEmbedded({ dataDir })
    assert.isFalse(existsSync(dirname(cluster)))
  })

  it('finds the cluster elsewhere again when postgres.json is damaged, and begins anew when the data folder was emptied', async () => {
    const dataDir = join(newFolder(0o700), '.data')
    const first = await startEmbedded({ dataDir, settings: FAST })
    const cluster = clusterOf(dataDir)
    await addRow(first.url, 'kept')
    await first.stop()
    writeFileSync(join(dataDir, 'postgres.json'), '{')
    const second = await startEmbedded({ dataDir, settings: FAST })
    assert.equal(clusterOf(dataDir), cluster)
    assert.deepEqual(await rows(second.url), ['kept'])
    await second.stop()

    rmSync(dataDir, { recursive: true })
    await using third = await startEmbedded({ dataDir, settings: FAST })
    assert.notEqual(clusterOf(dataDir), cluster)
    await addRow(third.url, 'new')
    assert.deepEqual(await rows(third.url), ['new'])
    assert.isTrue(existsSync(cluster), 'kept for a while: the folder may have been moved')
    rmSync(dirname(cluster), { recursive: true })
  })

  it('takes the cluster along when the data folder moves, and refuses a copy of it', async () => {
    const parent = newFolder(0o700)
    const [dataDir, moved, copy] = [join(parent, '.data'), join(parent, 'data'), join(parent, 'copy')]
    const first = await startEmbedded({ dataDir, settings: FAST })
    await addRow(first.url, 'kept')
    await first.stop()
    renameSync(dataDir, moved)
    await using second = await startEmbedded({ dataDir: moved, settings: FAST })
    assert.deepEqual(await rows(second.url), ['kept'])
    cpSync(moved, copy, { recursive: true })
    const refused = await useInChild({ dataDir: copy })
    assert.equal(refused.answer.code, 'EMBEDDED_IN_USE')
    assert.match(refused.answer.message ?? '', /is a copy of the data folder/)
  })

  it('moves a cluster out when its folder was closed later', async () => {
    const parent = newFolder()
    const dataDir = join(parent, 'data')
    const first = await startEmbedded({ dataDir, settings: FAST })
    await addRow(first.url, 'kept')
    await first.stop()
    chmodSync(parent, 0o700)
    await using second = await startEmbedded({ dataDir, settings: FAST })
    assert.notInclude(clusterOf(dataDir), dataDir)
    assert.isFalse(existsSync(join(dataDir, 'postgres')))
    assert.deepEqual(await rows(second.url), ['kept'])
  })

  it('removes clusters elsewhere whose data folder has been gone for long, and no other', async () => {
    const [gone, fresh] = [join(newFolder(0o700), '.data'), join(newFolder(0o700), '.data')]
    const places: string[] = []
    for (const dataDir of [gone, fresh]) {
      await (await startEmbedded({ dataDir, settings: FAST })).stop()
      places.push(dirname(clusterOf(dataDir)))
      rmSync(dataDir, { recursive: true })
    }
    const long = Date.now() / 1000 - (KEPT_DAYS + 1) * 86_400
    utimesSync(join(places[0]!, 'owner.json'), long, long)
    await (await startEmbedded({ dataDir: newFolder(), settings: FAST })).stop()
    assert.deepEqual(
      places.map(place => existsSync(place)),
      [false, true],
    )
    rmSync(places[1]!, { recursive: true })
  })

  it('runs from a checkout that only root may enter', async () => {
    const checkout = newCheckout(newFolder(0o700), 'link')
    const dataDir = join(dirname(checkout), '.data')
    const child = await useInChild({ dataDir }, { checkout })
    await addRow(child.answer.url, 'kept')
    assert.notInclude(programOf(dataDir), checkout)
    const cache = dirname(dirname(dirname(programOf(dataDir))))
    assert.deepEqual([statSync(cache).uid, statSync(cache).mode & 0o022], [0, 0], 'nobody else can exchange the programs')
    assert.isEmpty(readdirSync(cache).filter(name => name.endsWith('.tmp')))
    await child.end('stop')
    assert.isFalse(serverRuns(dataDir))
  })
})
