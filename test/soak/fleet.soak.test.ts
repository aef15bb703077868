/** The same as `fleet/kill.test.ts`, with more of everything. */
import { assert } from 'chai'
import { assertMigratedOnce, killAndResume, surroundings, writeMigrations } from '../fleet/kills.ts'
import { scene, type Scene } from '../fleet/scene.ts'

const TENANTS = 200
const DATABASES = 20
const KILLS = 50

describe('a run that is killed again and again', () => {
  let fleet: Scene

  before(async () => {
    fleet = await scene(TENANTS - DATABASES, DATABASES)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  it(`over ${TENANTS} tenants ${KILLS} times is resumed: all are at the head, each migration once, nothing outside`, async () => {
    const before = await surroundings(fleet)
    const names = writeMigrations(fleet, 0.08)
    const { run, hits } = await killAndResume(fleet, { kills: KILLS, concurrency: 4, longest: 250 })
    assert.isAtLeast(hits, KILLS / 2, 'the kills came too late')
    await assertMigratedOnce(fleet, run, names)
    assert.deepEqual(await surroundings(fleet), before)
  })
})
