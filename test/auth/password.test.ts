import { scryptSync } from 'node:crypto'
import { assert } from 'chai'
import fc from 'fast-check'
import {
  checkPassword,
  hashPassword,
  needsRehash,
  passwordAlgorithm,
  verifyPassword,
  type PasswordAlgorithm,
} from '../../src/auth/password.ts'
import { ValidationFailedError } from '../../src/errors.ts'

const PASSWORD = 'correct horse battery'
const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '')

/** A cheap scrypt hash as another program would write it. */
function foreignScrypt(password: string, salt = Buffer.alloc(16, 5)): string {
  return `$scrypt$ln=4,r=8,p=1$${unpadded(salt)}$${unpadded(scryptSync(password, salt, 32, { N: 16, r: 8, p: 1 }))}`
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 7; i++) {
    const begin = performance.now()
    await work()
    times.push(performance.now() - begin)
  }
  return times.sort((a, b) => a - b)[3]!
}

describe('hashPassword and verifyPassword', () => {
  for (const algorithm of ['argon2id', 'scrypt'] satisfies PasswordAlgorithm[]) {
    describe(algorithm, function () {
      // scrypt takes a third of a second a time.
      this.timeout(20_000)
      let stored: string
      before(async function () {
        if (algorithm === 'argon2id' && passwordAlgorithm !== 'argon2id') this.skip()
        stored = await hashPassword(PASSWORD, algorithm)
      })

      it('writes a PHC string with the parameters OWASP asks for', () => {
        const start = algorithm === 'argon2id' ? '$argon2id$v=19$m=19456,t=2,p=1$' : '$scrypt$ln=17,r=8,p=1$'
        assert.equal(stored.slice(0, start.length), start)
        assert.match(stored.slice(start.length), /^[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
      })

      it('knows the right password, and no other', async () => {
        assert.isTrue(await verifyPassword(PASSWORD, stored))
        for (const wrong of ['', ' ', PASSWORD.toUpperCase(), `${PASSWORD} `, PASSWORD.slice(0, -1), `${PASSWORD}\0`])
          assert.isFalse(await verifyPassword(wrong, stored), wrong)
      })

      it('salts: one password has many hashes', async () => {
        const again = await hashPassword(PASSWORD, algorithm)
        assert.notEqual(again, stored)
        assert.isTrue(await verifyPassword(PASSWORD, again))
      })
    })
  }

  it('uses argon2id where the runtime has it', async function () {
    if (passwordAlgorithm !== 'argon2id') this.skip()
    assert.match(await hashPassword(PASSWORD), /^\$argon2id\$/)
  })

  it('checks hashes of other parameters', async () => {
    assert.isTrue(await verifyPassword('imported pass', foreignScrypt('imported pass')))
    assert.isFalse(await verifyPassword('imported', foreignScrypt('imported pass')))
  })

  it('takes one password for one, however its accents were typed', async () => {
    const stored = await hashPassword('cafe\u0301 au lait')
    assert.isTrue(await verifyPassword('caf\u00e9 au lait', stored))
  })

  it('refuses to store what the policy refuses', async () => {
    for (const bad of ['', 'short', 'aaaaaaaaaa', 'x'.repeat(199) + 'yz']) {
      const error = await hashPassword(bad).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      assert.instanceOf(error, ValidationFailedError)
      if (bad !== '') assert.notInclude((error as Error).message, bad)
    }
  })
})

describe('a malformed stored hash', function () {
  // Far below what the hashes that ask for too much would take.
  this.timeout(1500)
  const good = foreignScrypt(PASSWORD)
  const [, , parameters, salt, hash] = good.split('$') as [string, string, string, string, string]
  const cases = {
    empty: '',
    plaintext: PASSWORD,
    'another algorithm': '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy',
    argon2i: `$argon2i$v=19$m=64,t=1,p=1$${salt}$${hash}`,
    'another version': `$argon2id$v=16$m=64,t=1,p=1$${salt}$${hash}`,
    'no parameters': `$scrypt$$${salt}$${hash}`,
    'no hash': `$scrypt$${parameters}$${salt}$`,
    'a short hash': `$scrypt$${parameters}$${salt}$AAAA`,
    'a short salt': `$scrypt$${parameters}$AAAA$${hash}`,
    padding: `${good}=`,
    // The next character decodes to the same bytes: the last one carries spare bits.
    'spare bits': good.slice(0, -1) + String.fromCharCode(good.charCodeAt(good.length - 1) + 1),
    'a line break': `${good}\n`,
    'no cost': `$scrypt$ln=0,r=8,p=1$${salt}$${hash}`,
    'no lanes': `$scrypt$ln=4,r=8,p=0$${salt}$${hash}`,
    'no blocks': `$scrypt$ln=4,r=0,p=1$${salt}$${hash}`,
    'scrypt of 1 GiB': `$scrypt$ln=20,r=8,p=1$${salt}$${hash}`,
    'scrypt of many GiB': `$scrypt$ln=63,r=99,p=1$${salt}$${hash}`,
    'argon2 of 9 GiB': `$argon2id$v=19$m=9999999,t=1,p=1$${salt}$${hash}`,
    'argon2 of 99 passes': `$argon2id$v=19$m=64,t=99,p=1$${salt}$${hash}`,
    'argon2 of too little memory': `$argon2id$v=19$m=7,t=1,p=1$${salt}$${hash}`,
    'argon2 of no passes': `$argon2id$v=19$m=64,t=0,p=1$${salt}$${hash}`,
  }
  for (const [name, stored] of Object.entries(cases)) {
    it(`is false: ${name}`, async () => {
      assert.isFalse(await verifyPassword(PASSWORD, stored))
      assert.isTrue(needsRehash(stored))
    })
  }

  it('is false for any text and any password', async function () {
    this.timeout(20_000)
    const stored = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom('$', 'argon2id', 'scrypt', 'v=19', 'm=64,t=1,p=1', 'ln=4,r=8,p=1', salt)).map(parts => parts.join('')),
    )
    await fc.assert(
      fc.asyncProperty(fc.string(), stored, async (password, text) => assert.isFalse(await verifyPassword(password, text))),
      { numRuns: 30 },
    )
  })
})

describe('an unknown user', () => {
  it('has no password', async () => {
    for (const nobody of [undefined, null]) for (const password of ['', PASSWORD]) assert.isFalse(await verifyPassword(password, nobody))
  })

  it('costs the same time as a known one; so do a malformed hash and an endless password', async function () {
    this.timeout(20_000)
    const stored = await hashPassword(PASSWORD)
    const usual = await milliseconds(() => verifyPassword('not the password', stored))
    const endless = 'x'.repeat(1_000_000)
    // A wide margin: without the equal work these take a hundredth of the time.
    for (const [password, hash] of [
      [PASSWORD, undefined],
      [PASSWORD, ''],
      [PASSWORD, 'nonsense'],
      [endless, stored],
      [undefined as unknown as string, stored],
    ] as const) {
      const taken = await milliseconds(() => verifyPassword(password, hash))
      assert.isAbove(taken, usual / 4, String(hash))
      assert.isBelow(taken, usual * 10, String(hash))
    }
  })

  it('is not let in by a password of another type or an endless one', async () => {
    const stored = await hashPassword(PASSWORD)
    for (const odd of [undefined, null, 7, {}, [PASSWORD]]) assert.isFalse(await verifyPassword(odd as unknown as string, stored))
    assert.isFalse(await verifyPassword('xy'.repeat(101), foreignScrypt('xy'.repeat(101))))
    // An empty password stands in for an endless one in the work; it must not match a hash of the empty one.
    assert.isFalse(await verifyPassword('x'.repeat(10_000), foreignScrypt('')))
  })
})

describe('needsRehash', () => {
  it('is false for a fresh hash, true for another algorithm or other parameters', async function () {
    assert.isFalse(needsRehash(await hashPassword(PASSWORD)))
    assert.isTrue(needsRehash(foreignScrypt(PASSWORD)))
    if (passwordAlgorithm === 'argon2id') assert.isTrue(needsRehash(await hashPassword(PASSWORD, 'scrypt')))
  })
})

describe('checkPassword', () => {
  const refusedFor = (password: unknown): string => checkPassword(password)[0]?.message ?? ''

  it('takes any reasonable password of 8 to 200 characters', () => {
    for (const good of [
      '12345678',
      'demo-pass',
      'p4ssw0rd',
      '        x',
      'x'.repeat(199) + 'y',
      'пароль-пароль',
      '🐘🐎🐖🐑🐐🐓🐈🐕',
      PASSWORD,
    ])
      assert.deepEqual(checkPassword(good), [], good)
  })

  it('refuses the others, on the path password', () => {
    assert.match(refusedFor('1234567'), /at least 8/)
    assert.match(refusedFor(''), /at least 8/)
    assert.match(refusedFor('🐘🐎🐖🐑'), /at least 8/)
    assert.match(refusedFor('x'.repeat(200) + 'y'), /at most 200/)
    assert.match(refusedFor('xy'.repeat(5_000_000)), /at most 200/)
    assert.match(refusedFor('good enough\0'), /NUL/)
    assert.match(refusedFor('aaaaaaaa'), /one character/)
    assert.match(refusedFor('🐘'.repeat(9)), /one character/)
    for (const odd of [undefined, null, 12345678, {}, ['12345678']]) assert.match(refusedFor(odd), /must be a string/)
    assert.equal(checkPassword('')[0]?.path, 'password')
  })
})
