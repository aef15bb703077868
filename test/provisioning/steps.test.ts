import { assert } from 'chai'
import { ConflictError } from 'mikro-tenantkit'
import { reasonOf, runSteps, type Step } from '../../src/provisioning/steps.ts'
import { refused } from '../tenants/refused.ts'

describe('steps', () => {
  const log: string[] = []
  const step = (name: string, fails?: Error, sticks?: Error): Step => ({
    name,
    up: async () => {
      log.push(`up ${name}`)
      if (fails) throw fails
    },
    down: async () => {
      log.push(`down ${name}`)
      if (sticks) throw sticks
    },
  })
  beforeEach(() => void log.splice(0))

  it('run in order', async () => {
    await runSteps([step('a'), { name: 'b', up: async () => void log.push('up b') }, step('c')])
    assert.deepEqual(log, ['up a', 'up b', 'up c'])
  })

  it('are undone in reverse, the failed one included', async () => {
    const error = await refused(runSteps([step('a'), step('b'), step('c', new Error('no room')), step('d')]), 'PROVISIONING_FAILED')
    assert.deepEqual(log, ['up a', 'up b', 'up c', 'down c', 'down b', 'down a'])
    assert.deepEqual(error.details, { step: 'c' })
    assert.include(error.message, 'no room')
  })

  it('say what could not be undone, and undo the rest', async () => {
    const error = await refused(
      runSteps([step('a'), step('b', undefined, new Error('stuck')), step('c', new Error('x'))]),
      'PROVISIONING_FAILED',
    )
    assert.deepEqual(error.details, { step: 'c', leftovers: ['b: stuck'] })
    assert.include(log, 'down a')
  })

  it("throw the application's refusal as it is, unless something was left behind", async () => {
    const refusal = new ConflictError('There is such a user.')
    assert.strictEqual(await refused(runSteps([step('a'), step('b', refusal)]), 'CONFLICT'), refusal)
    await refused(runSteps([step('a', undefined, new Error('stuck')), step('b', refusal)]), 'PROVISIONING_FAILED')
  })

  it('give a reason of one line without a URL', () => {
    const reason = reasonOf(new Error('cannot reach postgres://a:b@host/db and postgresql://c:d@host/db'))
    assert.equal(reason, 'cannot reach postgresql://… and postgresql://…')
    assert.notInclude(reasonOf(new Error('first line\nsecond line')), '\n')
    assert.equal(reasonOf('plain'), 'plain')
    assert.isNotEmpty(reasonOf(new TypeError('')))
  })
})
