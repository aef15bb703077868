/** The bench's own arithmetic and its documents; what it measures is not a test's business. */
import { execFile } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { assert } from 'chai'
import { parseArguments, usage, UsageError } from '../bench/harness/arguments.ts'
import { LoadGenerator, requestOf } from '../bench/harness/load.ts'
import { isMet, machineOf, rowOf, toJson, toTable, type Goal, type Row } from '../bench/harness/report.ts'
import { alternate } from '../bench/harness/rounds.ts'
import { median, quantile, summarize } from '../bench/harness/statistics.ts'

const MAIN = join(import.meta.dirname, '..', 'bench', 'main.ts')
const AT_LEAST: Goal = { op: '>=', value: 0.9 }
const AT_MOST: Goal = { op: '<=', value: 1.5 }

describe('bench: statistics', () => {
  it('takes the middle value, between two where there are two', () => {
    assert.equal(median([9, 1, 5]), 5)
    assert.equal(median([4, 1, 3, 2]), 2.5)
    assert.equal(median([7]), 7)
    assert.throws(() => median([]), RangeError)
  })

  it('interpolates quantiles, and leaves the values in their order', () => {
    const values = [40, 10, 30, 20, 50]
    assert.deepEqual(
      [0, 0.25, 0.5, 0.75, 1].map(q => quantile(values, q)),
      [10, 20, 30, 40, 50],
    )
    assert.equal(quantile([0, 10], 0.3), 3)
    assert.deepEqual(values, [40, 10, 30, 20, 50])
  })

  it('compares within rounds: a machine that is slow for some rounds changes no ratio', () => {
    const even = [10, 20, 30, 40].map(b => ({ a: b * 0.9, b }))
    const { ratio, spread } = summarize(even.map(({ a, b }, round) => (round < 2 ? { a: a / 7, b: b / 7 } : { a, b })))
    assert.closeTo(ratio, 0.9, 1e-9)
    assert.closeTo(spread[0], 0.9, 1e-9)
    assert.closeTo(spread[1], 0.9, 1e-9)
  })

  it('takes the median of the ratios, which is not the ratio of the medians', () => {
    const pairs = [
      { a: 10, b: 1 },
      { a: 1, b: 2 },
      { a: 3, b: 3 },
    ]
    assert.equal(summarize(pairs).ratio, 1)
  })

  it('gives the interquartile range as spread, and the medians of both sides', () => {
    const summary = summarize([1, 2, 3, 4, 5].map(a => ({ a, b: 2 })))
    assert.deepEqual(summary, { ratio: 1.5, spread: [1, 2], a: 3, b: 2, rounds: 5 })
  })

  it('refuses a round that is no ratio', () => {
    for (const pair of [
      { a: 1, b: 0 },
      { a: Number.NaN, b: 1 },
      { a: 1, b: Infinity },
    ])
      assert.throws(() => summarize([{ a: 1, b: 1 }, pair]), RangeError)
  })
})

describe('bench: rounds', () => {
  it('lets the sides take turns in being first, and answers in the order of the sides', async () => {
    const order: string[] = []
    let clock = 0
    const side = (name: string) => () => {
      order.push(name)
      return Promise.resolve(`${name}${clock++}`)
    }
    const rounds = await alternate(3, [side('a'), side('b')])
    assert.equal(order.join(''), 'abbaab')
    assert.deepEqual(rounds, [
      ['a0', 'b1'],
      ['a3', 'b2'],
      ['a4', 'b5'],
    ])
  })
})

describe('bench: report', () => {
  const row = (spread: readonly number[], goal?: Goal): Row =>
    rowOf({ name: 'row', unit: 'ms', goal, pairs: spread.map(a => ({ a, b: 1 })) })

  it('calls a goal missed only when the whole spread misses it', () => {
    assert.isTrue(isMet(AT_LEAST, [0.7, 0.9]))
    assert.isTrue(isMet(AT_LEAST, [0.95, 1.2]))
    assert.isFalse(isMet(AT_LEAST, [0.7, 0.89]))
    assert.isTrue(isMet(AT_MOST, [1.5, 3]))
    assert.isTrue(isMet(AT_MOST, [1, 1.1]))
    assert.isFalse(isMet(AT_MOST, [1.51, 3]))
  })

  it('says null where there is no goal', () => {
    assert.isNull(isMet(null, [0, 1]))
    const { goal, met } = row([1, 2, 3])
    assert.isNull(goal)
    assert.isNull(met)
  })

  it('has the members of the contract in each row, and numbers in them', () => {
    const document = JSON.parse(toJson({ machine: machineOf({ postgresql: '18.4', quick: true }), rows: [row([1, 2, 3], AT_MOST)] })) as {
      machine: Record<string, unknown>
      rows: Record<string, unknown>[]
    }
    assert.hasAllKeys(document, ['machine', 'rows'])
    assert.containsAllKeys(document.machine, ['cpu', 'cores', 'memory_gb', 'node', 'platform', 'postgresql', 'quick'])
    assert.deepEqual(document.rows, [
      { name: 'row', ratio: 2, goal: AT_MOST, met: true, spread: [1.5, 2.5], a: 2, b: 1, unit: 'ms', rounds: 3, details: {} },
    ])
  })

  it('cuts numbers to six digits', () => {
    assert.include(toJson({ machine: {}, rows: [row([1 / 3])] }), '0.333333')
    assert.notInclude(toJson({ machine: {}, rows: [row([1 / 3])] }), '0.3333333')
  })

  it('prints a line for each row, with its goal and whether it is met', () => {
    const [head, met, missed, none] = toTable([row([1], AT_MOST), row([2], AT_MOST), row([3])]).split('\n')
    assert.match(head!, /^row +ratio +spread +goal/)
    assert.match(met!, /1\.000 +1\.000 … 1\.000 +<= 1\.5 +met/)
    assert.match(missed!, /MISSED/)
    assert.match(none!, /3\.000 … 3\.000 +– +–/)
  })
})

describe('bench: command line', () => {
  const GROUPS = ['requests', 'provisioning']

  it('reads the flags', () => {
    assert.deepEqual(parseArguments([], GROUPS), { quick: false, json: false, help: false, only: [] })
    assert.deepEqual(parseArguments(['--quick', '--json', '--only', 'requests', '--only', 'provisioning'], GROUPS), {
      quick: true,
      json: true,
      help: false,
      only: ['requests', 'provisioning'],
    })
    assert.isTrue(parseArguments(['-h'], GROUPS).help)
  })

  it('refuses unknown groups, flags and words', () => {
    for (const words of [['--only', 'nothing'], ['--fast'], ['quick'], ['--only'], ['--quick=yes']])
      assert.throws(() => parseArguments(words, GROUPS), UsageError)
    assert.throws(() => parseArguments(['--only', 'nothing'], GROUPS), /no group nothing.*requests, provisioning/)
    assert.include(usage(GROUPS), 'requests, provisioning')
  })

  it('ends with 2 and says nothing on standard output when it is used wrongly', async () => {
    const wrong = await promisify(execFile)(process.execPath, [MAIN, '--only', 'nothing', '--json']).then(
      () => assert.fail('it did not refuse'),
      (error: { code: number; stdout: string; stderr: string }) => error,
    )
    assert.equal(wrong.code, 2)
    assert.equal(wrong.stdout, '')
    assert.match(wrong.stderr, /There is no group nothing/)
  }).timeout(20_000)
})

describe('bench: load', () => {
  let server: Server
  let port: number
  let answered = 0

  before(async () => {
    server = createServer((request, response) => {
      answered++
      response.writeHead(request.url === '/bad' ? 500 : 200, { 'content-length': 6 })
      // In two pieces, as an answer may come.
      response.write('abc')
      setTimeout(() => response.end(request.headers['x-number'] === '1' ? 'one' : 'def'), 2)
    })
    await new Promise<void>(resolve => {
      server.listen(0, '127.0.0.1', resolve)
    })
    port = (server.address() as AddressInfo).port
  })
  after(() => {
    server.closeAllConnections()
    server.close()
  })

  it('reads whole answers, one after the other on one connection', async () => {
    using clients = await LoadGenerator.open(port, 1)
    assert.equal(await clients.body(requestOf('/', { 'x-number': '1' })), 'abcone')
    assert.equal(await clients.body(requestOf('/', {})), 'abcdef')
  })

  it('counts every answer, with all clients at once', async () => {
    using clients = await LoadGenerator.open(port, 4)
    const before = answered
    const { requests, milliseconds } = await clients.run(50, () => requestOf('/', {}))
    assert.equal(requests, answered - before)
    assert.isAtLeast(requests, 4)
    assert.isAtLeast(milliseconds, 50)
    assert.equal((await clients.runAll(Array.from({ length: 9 }, () => requestOf('/', {})))).requests, 9)
  })

  it('fails for any answer but 200, and when the server is gone', async () => {
    using clients = await LoadGenerator.open(port, 2)
    let refused: unknown
    await clients.run(20, () => requestOf('/bad', {})).catch((error: unknown) => (refused = error))
    assert.match(String(refused), /did not answer with 200/)
    using other = await LoadGenerator.open(port, 1)
    const sent = other.body(requestOf('/', {})).catch((error: unknown) => error)
    server.closeAllConnections()
    assert.match(String(await sent), /closed the connection|ECONNRESET/)
  })
})
