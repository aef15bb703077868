import { assert } from 'chai'
import { assertMigratedOnce, killAndResume, surroundings, writeCode, writePure } from './kills.ts'
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
    const half = { kills: KILLS / 2, concurrency: 4, longest: 250 }
    const pure = writePure(fleet, 0.06)
    const first = await killAndResume(fleet, half)
    const code = writeCode(fleet, 0.06)
    const second = await killAndResume(fleet, half)
    assert.isAtLeast(first.hits + second.hits, KILLS / 2, 'the kills came too late')
    await assertMigratedOnce(fleet, second.run, [...pure, ...code])
    assert.deepEqual(await surroundings(fleet), before)
  })
})
