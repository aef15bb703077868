/** The same as `fleet/kill.test.ts`, with more of everything. */
import { assert } from 'chai'
import { assertMigratedOnce, killAndResume, surroundings, writeCode, writePure } from '../fleet/kills.ts'
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
    const half = { kills: KILLS / 2, concurrency: 4, longest: 250 }
    const pure = writePure(fleet, 0.08)
    const first = await killAndResume(fleet, half)
    const code = writeCode(fleet, 0.08)
    const second = await killAndResume(fleet, half)
    assert.isAtLeast(first.hits + second.hits, KILLS / 2, 'the kills came too late')
    await assertMigratedOnce(fleet, second.run, [...pure, ...code])
    assert.deepEqual(await surroundings(fleet), before)
  })
})
