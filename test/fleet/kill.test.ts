import { assert } from 'chai'
import { assertMigratedOnce, killAndResume, surroundings, writeMigrations } from './kills.ts'
import { scene, type Scene } from './scene.ts'

const KILLS = 10

describe('a run that is killed', function () {
  this.timeout(120_000)
  let fleet: Scene

  before(async () => {
    fleet = await scene(52, 8)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  it(`over 60 tenants ${KILLS} times is resumed: all are at the head, each migration once, nothing outside`, async () => {
    const before = await surroundings(fleet)
    const names = writeMigrations(fleet, 0.06)
    const { run, hits } = await killAndResume(fleet, { kills: KILLS, concurrency: 4, longest: 250 })
    assert.isAtLeast(hits, KILLS / 2, 'the kills came too late')
    await assertMigratedOnce(fleet, run, names)
    assert.deepEqual(await surroundings(fleet), before)
  })
})
