import { assert } from 'chai'
import { assertMigratedOnce, killAndResume, surroundings, writeCode, writePure, writeTables } from './kills.ts'
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
    const third = { kills: Math.floor(KILLS / 3), concurrency: 4, longest: 250 }
    const pure = writePure(fleet, 0.06)
    const first = await killAndResume(fleet, { ...third, kills: KILLS - 2 * third.kills })
    const code = writeCode(fleet, 0.06)
    const second = await killAndResume(fleet, third)
    const tables = writeTables(fleet)
    const last = await killAndResume(fleet, third)
    assert.isAtLeast(first.hits + second.hits + last.hits, KILLS / 2, 'the kills came too late')
    await assertMigratedOnce(fleet, last.run, [...pure, ...code, ...tables])
    assert.deepEqual(await surroundings(fleet), before)
  })
})
