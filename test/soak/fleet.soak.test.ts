/** The same as `fleet/kill.test.ts`, with more of everything. */
import { assert } from 'chai'
import { assertMigratedOnce, killAndResume, surroundings, writeCode, writePure, writeTables } from '../fleet/kills.ts'
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
    const third = { kills: Math.floor(KILLS / 3), concurrency: 4, longest: 250 }
    const pure = writePure(fleet, 0.08)
    const first = await killAndResume(fleet, { ...third, kills: KILLS - 2 * third.kills })
    const code = writeCode(fleet, 0.08)
    const second = await killAndResume(fleet, third)
    const tables = writeTables(fleet)
    const last = await killAndResume(fleet, third)
    assert.isAtLeast(first.hits + second.hits + last.hits, KILLS / 2, 'the kills came too late')
    await assertMigratedOnce(fleet, last.run, [...pure, ...code, ...tables])
    assert.deepEqual(await surroundings(fleet), before)
  })
})
