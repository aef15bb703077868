import { createServer, connect, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { Connection } from 'pg'
import { Listener, type ListenerOptions } from '../../src/connections/listener.ts'
import { freshDatabase, query, serverUrl, type TestDatabase } from '../helpers/postgres.ts'

const CHANNEL = 'tenantkit_test'
const QUICK = { heartbeatMs: 40, answerMs: 300, pauseMs: [10, 40] } as const

describe('Listener', () => {
  let database: TestDatabase
  const open: Listener[] = []

  before(async () => void (database = await freshDatabase('listener')))
  after(() => database.drop())
  afterEach(async () => {
    await Promise.all(open.splice(0).map(listener => listener.close()))
    assert.deepEqual(await backends(), [], 'a closed listener leaves no connection')
  })

  function listen(options: Partial<ListenerOptions> = {}) {
    const heard: string[] = []
    const seen = { heard, connected: 0 }
    const listener = new Listener({
      url: database.url,
      channel: CHANNEL,
      heard: payload => void heard.push(payload),
      connected: () => void seen.connected++,
      ...QUICK,
      ...options,
    })
    open.push(listener)
    return { listener, seen }
  }
  const backends = () =>
    query<{ pid: number; query: string }>(
      serverUrl(),
      `select pid, query from pg_stat_activity where datname = $1 and application_name = 'mikro-tenantkit listener'`,
      [database.name],
    )
  const kill = () =>
    query(serverUrl(), `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and application_name like '%listener'`, [
      database.name,
    ])
  const tell = (payload: string) => query(database.url, 'select pg_notify($1, $2)', [CHANNEL, payload])

  it('connects when it is started, and hears what is committed', async () => {
    const { listener, seen } = listen()
    await sleep(30)
    assert.deepEqual(await backends(), [])
    assert.isFalse(listener.listening)
    listener.start()
    listener.start()
    await until(() => listener.listening)
    assert.lengthOf(await backends(), 1)
    await tell('one')
    await query(database.url, `begin; select pg_notify('${CHANNEL}', 'never'); rollback`)
    await query(database.url, `select pg_notify('another_channel', 'else')`)
    await tell('two')
    await until(() => seen.heard.length >= 2)
    assert.deepEqual(seen, { heard: ['one', 'two'], connected: 1 })
  })

  it('runs no statement to find out whether the connection lives', async () => {
    const { listener, seen } = listen()
    listener.start()
    await until(() => listener.listening)
    await sleep(QUICK.heartbeatMs * 5)
    assert.isTrue(listener.listening)
    assert.equal(seen.connected, 1)
    assert.match((await backends())[0]!.query, /^listen /)
  })

  it('comes back after its connection is ended, and says so each time', async () => {
    const { listener, seen } = listen()
    listener.start()
    for (let round = 1; round <= 3; round++) {
      await until(() => seen.connected === round)
      await kill()
      await until(() => !listener.listening || seen.connected > round)
    }
    await until(() => listener.listening)
    await tell('still there')
    await until(() => seen.heard.length > 0)
    assert.deepEqual(seen, { heard: ['still there'], connected: 4 })
    assert.lengthOf(await backends(), 1)
  })

  it('waits longer each time, up to a limit, when there is no server', async () => {
    const proxy = await wire(database.url)
    const { listener, seen } = listen({ url: proxy.url, pauseMs: [20, 80] })
    proxy.refuse(true)
    listener.start()
    await until(() => proxy.tries().length > 8)
    assert.isFalse(listener.listening)
    // Pauses of 10 to 20, 20 to 40, 40 to 80, then 40 to 80 milliseconds each; a millisecond for the timer's rounding.
    const tries = proxy.tries()
    const pauses = tries.slice(1).map((at, index) => at - tries[index]!)
    assert.isAtLeast(pauses.length, 4)
    assert.isAtLeast(Math.min(...pauses.slice(2)), 39)
    proxy.refuse(false)
    await until(() => seen.connected === 1)
    await listener.close()
    await proxy.close()
  })

  it('finds out that a connection is dead which nobody closed', async () => {
    const proxy = await wire(database.url)
    const { listener, seen } = listen({ url: proxy.url })
    listener.start()
    await until(() => listener.listening)
    proxy.freeze()
    const begun = performance.now()
    await until(() => !listener.listening)
    assert.isBelow(performance.now() - begun, 2_000)
    await until(() => seen.connected === 2)
    await tell('heard again')
    await until(() => seen.heard.length > 0)
    await listener.close()
    await proxy.close()
  })

  it('is not confused by a process that was busy for longer than an answer may take', async () => {
    const { listener, seen } = listen()
    listener.start()
    await until(() => listener.listening)
    // Busy right after it has asked: when it looks up again, the time is over and the answer lies there.
    const prototype = Connection.prototype as { sync: (this: Connection) => void }
    const original = prototype.sync
    let rounds = 0
    prototype.sync = function () {
      original.call(this)
      block(QUICK.answerMs + 20)
      rounds++
    }
    try {
      await until(() => rounds >= 3)
      await sleep(20)
    } finally {
      prototype.sync = original
    }
    assert.equal(seen.connected, 1)
  })

  it('ends for good, in whatever state it is', async () => {
    const untouched = listen().listener
    await untouched.close()
    untouched.start()
    const connecting = listen().listener
    connecting.start()
    await connecting.close()
    const waiting = listen({ url: 'postgresql://nobody:secret@127.0.0.1:1/none' }).listener
    waiting.start()
    await sleep(30)
    await waiting.close()
    await waiting.close()
    const { listener, seen } = listen()
    listener.start()
    await until(() => listener.listening)
    await listener.close()
    await tell('too late')
    await sleep(60)
    assert.deepEqual(seen.heard, [])
    for (const closed of [untouched, connecting, waiting, listener]) assert.isFalse(closed.listening)
  })

  it('does not wait for a server that does not answer when it ends', async () => {
    const proxy = await wire(database.url)
    const { listener } = listen({ url: proxy.url, heartbeatMs: 60_000 })
    listener.start()
    await until(() => listener.listening)
    proxy.freeze()
    const begun = performance.now()
    await listener.close()
    assert.isBelow(performance.now() - begun, 2_000)
    await proxy.close()
  })

  it('takes no name that is not an identifier, and shows no URL', () => {
    const make = (options: Partial<ListenerOptions>) => () =>
      new Listener({ url: database.url, channel: CHANNEL, heard: () => undefined, connected: () => undefined, ...options })
    for (const channel of ['', 'A', 'a"; drop table x', 'a'.repeat(64)]) assert.equal(refusal(make({ channel })).code, 'VALIDATION_FAILED')
    const error = refusal(make({ url: 'http://someone:hush@nowhere/x' }))
    assert.equal(error.code, 'CONFIGURATION_INVALID')
    assert.notMatch(`${error.message} ${error.stack}`, /hush|someone/)
  })
})

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 5_000
  while (!condition()) {
    if (performance.now() > end) assert.fail(`in vain waited for ${String(condition)}`)
    await sleep(2)
  }
}

function refusal(work: () => unknown): Error & { readonly code?: string } {
  try {
    work()
  } catch (error) {
    return error as Error
  }
  return assert.fail('nothing was refused')
}

function block(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

/** A wire to the server that can go dead without a word, and refuse. */
async function wire(to: string): Promise<{
  readonly url: string
  /** Nothing goes through what is connected now. */
  freeze: () => void
  refuse: (isRefusing: boolean) => void
  /** When it was connected to. */
  tries: () => readonly number[]
  close: () => Promise<void>
}> {
  const target = new URL(to)
  const sockets = new Set<Socket>()
  let refuses = false
  const tries: number[] = []
  const server: Server = createServer(inner => {
    tries.push(performance.now())
    if (refuses) {
      inner.destroy()
      return
    }
    const outer = connect(Number(target.port), target.hostname.replace(/^\[(.*)\]$/, '$1'))
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(socket)
      socket.pipe(other)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(to)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as { port: number }).port)
  return {
    url: url.href,
    freeze: () => sockets.forEach(socket => socket.unpipe().pause()),
    refuse: isRefusing => void (refuses = isRefusing),
    tries: () => tries,
    close: () => {
      sockets.forEach(socket => socket.destroy())
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}
