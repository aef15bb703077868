import { assert } from 'chai'
import { ADMIN, OPERATOR, PASSWORD, startHarness } from './harness.ts'
import type { Harness } from './harness.ts'

describe('http: log-in', function () {
  this.timeout(60_000)
  let app: Harness
  before(async () => {
    app = await startHarness('http log in', { acme: 'schema' })
  })
  after(() => app?.[Symbol.asyncDispose]())

  const logIn = async (email: string, password: string, tenant?: string): Promise<number> =>
    (await app.call('POST', '/auth/login', { body: { email, password, ...(tenant === undefined ? {} : { tenant }) } })).status
  const times = (count: number, work: () => Promise<number>): Promise<number[]> => Promise.all(Array.from({ length: count }, work))

  it('of one account, many at once with the right password: all succeed', async () => {
    assert.deepEqual([...new Set(await times(32, () => logIn(ADMIN, PASSWORD, 'acme')))], [200])
  })

  it('is refused after ten failures, to the right password as well, and to no other account', async () => {
    for (let i = 0; i < 10; i++) assert.strictEqual(await logIn(ADMIN, 'wrong password', 'acme'), 401)
    assert.strictEqual(await logIn(ADMIN, 'wrong password', 'acme'), 429)
    assert.strictEqual(await logIn(ADMIN, PASSWORD, 'acme'), 429)
    assert.strictEqual(await logIn(OPERATOR, PASSWORD), 200)
  })

  it('of many guesses at once, only ten are answered', async () => {
    const answers = await times(40, () => logIn('nobody@example.test', 'wrong password'))
    assert.lengthOf(
      answers.filter(status => status === 401),
      10,
    )
    assert.sameMembers([...new Set(answers)], [401, 429])
  })
})
