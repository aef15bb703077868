import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { controlEm, Tenant, type TenancyOptions } from 'mikro-tenantkit'
import { query } from '../helpers/postgres.ts'
import { operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import type { Answer, ProcessTask } from './directory-process.ts'

const FIXTURE = join(import.meta.dirname, 'directory-process.ts')
/** What is promised; and what is granted on a machine that is busy with other tests. */
const PROMISED_MS = 1_000
const GRANTED_MS = 2_000
/** So long that nothing below is seen because of it. */
const FOREVER = { ttlMs: 3_600_000, negativeTtlMs: 3_600_000, maxEntries: 1_000 }

describe('two processes and one registry', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  let listenerRole: string
  let other: Other
  const children: ChildProcess[] = []

  before(async () => {
    kit = await testTenancy({ directory: FOREVER })
    await twoTenants(kit)
    // A role of its own for the other process's listener, so that it can be locked out and nothing else.
    listenerRole = `${kit.prefix}_listener`
    await query(
      kit.url,
      `create role ${listenerRole} login password 'listener'; grant connect on database "${databaseOf(kit.url)}" to ${listenerRole}`,
    )
    const directUrl = new URL(kit.url)
    directUrl.username = listenerRole
    directUrl.password = 'listener'
    other = await serve({ ...given(), database: { url: kit.url, directUrl: directUrl.href } })
    await other.until({}, answer => answer.directory.listening, 'acme')
  })
  after(async () => {
    const running = children.filter(child => child.exitCode === null)
    const ended = running.map(child => once(child, 'exit'))
    for (const child of running) child.disconnect()
    await Promise.all(ended)
    await kit[Symbol.asyncDispose]()
  })

  const given = (): Omit<TenancyOptions, 'entities'> => {
    const { entities: _, ...rest } = kit.options
    return rest
  }
  const start = (options: Omit<TenancyOptions, 'entities'>, task: ProcessTask['task']) => {
    const child = fork(FIXTURE, [JSON.stringify({ options, task } satisfies ProcessTask)], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    children.push(child)
    return child
  }
  const serve = async (options: Omit<TenancyOptions, 'entities'>) => {
    const child = start(options, 'serve')
    await once(child, 'message')
    return new Other(child)
  }
  const here = (slug: string, operation: string, more = {}) => kit.asSystem(() => kit.tenancy.operate(slug, operation, more))
  const change = (slug: string, change: object) => kit.asSystem(() => kit.tenancy.updateTenant(slug, change))

  /** The other process knows the tenant; something changes here, and it must learn of it in time. */
  async function learns(slug: string, work: () => Promise<unknown>, wanted: (answer: Answer) => boolean): Promise<void> {
    const before = await other.ask({ slug })
    assert.isFalse(wanted(before), 'it would prove nothing')
    await other.ask({ slug })
    await work()
    await other.until({}, wanted, slug)
  }

  it('learn of a suspension, and of its end', async () => {
    await learns(
      'acme',
      () => here('acme', 'suspend'),
      answer => answer.status === 'suspended',
    )
    await learns(
      'acme',
      () => here('acme', 'resume'),
      answer => answer.status === 'ready',
    )
  })

  it('learn of it the other way round', async () => {
    assert.equal((await kit.tenancy.find('acme'))?.status, 'ready')
    await waitFor(async () => kit.tenancy.stats().directory.listening)
    await other.ask({ slug: 'acme', operation: 'suspend' })
    await waitFor(async () => (await kit.tenancy.find('acme'))?.status === 'suspended')
    await other.ask({ slug: 'acme', operation: 'resume' })
    await waitFor(async () => (await kit.tenancy.find('acme'))?.status === 'ready')
  })

  it('learn of a new name, and of a new connection string', async () => {
    await learns(
      'acme',
      () => change('acme', { name: 'Acme & Sons' }),
      answer => answer.name === 'Acme & Sons',
    )
    const { connection } = await other.ask({ slug: 'globex' })
    assert.isString(connection)
    // The same string, sealed anew: another envelope.
    const [role] = await query<{ name: string }>(kit.url, `select rolname as name from pg_roles where rolname = $1`, [
      `${kit.prefix}_globex`,
    ])
    const rotated = new URL(kit.url)
    rotated.username = role!.name
    rotated.password = 'rotated'
    rotated.pathname = `/${kit.prefix}_globex`
    await query(kit.url, `alter role "${role!.name}" password 'rotated'`)
    await learns(
      'globex',
      () => change('globex', { connectionString: rotated.href }),
      answer => answer.connection !== connection,
    )
    await kit.tenancy.run('globex', () => Promise.resolve(), { actor: operator })
  })

  it('learn of an archived tenant, of a restored one, and of a purged one', async () => {
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'brief', name: 'B', isolation: 'schema' }))
    await learns(
      'brief',
      () => kit.asSystem(() => kit.tenancy.archive('brief')),
      answer => answer.status === 'archived',
    )
    await learns(
      'brief',
      () => here('brief', 'restore'),
      answer => answer.status === 'ready',
    )
    await kit.asSystem(() => kit.tenancy.archive('brief'))
    await learns(
      'brief',
      () => here('brief', 'purge', { confirm: 'DELETE brief' }),
      answer => answer.status === 'purged',
    )
  })

  it('learn of a tenant that was unknown', async () => {
    await learns(
      'newcomer',
      () => kit.asSystem(() => kit.tenancy.provision({ slug: 'newcomer', name: 'N', isolation: 'schema' })),
      answer => answer.status === 'ready',
    )
  })

  it('learn of a schema that was migrated', async () => {
    const { schemaVersion } = await other.ask({ slug: 'acme' })
    await kit.asSystem(async () => {
      const control = controlEm()
      await control.findOneOrFail(Tenant, { slug: 'acme' }).then(row => (row.schemaVersion = null))
      await control.flush()
    })
    await other.until({}, answer => answer.schemaVersion === undefined, 'acme')
    await learns(
      'acme',
      () => here('acme', 'migrate'),
      answer => answer.schemaVersion === schemaVersion,
    )
  })

  it('ask the database nothing while nothing changes', async () => {
    const before = (await other.ask({ slug: 'acme' })).directory
    for (let round = 0; round < 20; round++) await other.ask({ slug: 'acme' })
    const { directory } = await other.ask({})
    assert.deepInclude(directory, { misses: before.misses, hits: before.hits + 20, listening: true })
  })

  describe('while one of them does not hear', () => {
    const lockOut = async () => {
      await query(kit.url, `alter role ${listenerRole} nologin`)
      await query(kit.url, `select pg_terminate_backend(pid) from pg_stat_activity where usename = $1`, [listenerRole])
      await other.until({}, answer => !answer.directory.listening)
    }
    const letIn = () => query(kit.url, `alter role ${listenerRole} login`)

    it('it trusts nothing that is older than a second', async () => {
      await other.ask({ slug: 'acme' })
      await lockOut()
      await learns(
        'acme',
        () => here('acme', 'suspend'),
        answer => answer.status === 'suspended',
      )
      assert.isFalse((await other.ask({})).directory.listening)
      await letIn()
      await other.until({}, answer => answer.directory.listening, undefined, 10_000)
      await learns(
        'acme',
        () => here('acme', 'resume'),
        answer => answer.status === 'ready',
      )
    })

    it('it forgets everything when it hears again: what was changed meanwhile is seen', async () => {
      await lockOut()
      assert.equal((await other.ask({ slug: 'acme' })).status, 'ready')
      await here('acme', 'suspend')
      await letIn()
      await other.until({}, answer => answer.directory.listening, undefined, 10_000)
      // The first look-up after it: an entry kept would be trusted for an hour now.
      assert.equal((await other.ask({ slug: 'acme' })).status, 'suspended')
      await here('acme', 'resume')
    })

    it('it comes back by itself after its connection was ended', async () => {
      await query(kit.url, `select pg_terminate_backend(pid) from pg_stat_activity where usename = $1`, [listenerRole])
      await learns(
        'acme',
        () => here('acme', 'suspend'),
        answer => answer.status === 'suspended',
      )
      await other.until({}, answer => answer.directory.listening, undefined, 10_000)
      await learns(
        'acme',
        () => here('acme', 'resume'),
        answer => answer.status === 'ready',
      )
    })
  })

  describe('a process that looks up a tenant', () => {
    for (const task of ['look up', 'look up and listen', 'look up, listen and close'] as const) {
      it(`ends by itself: ${task}`, async () => {
        const child = start(given(), task)
        let output = ''
        let answeredAt = 0
        child.stdout!.on('data', chunk => {
          output += String(chunk)
          answeredAt = performance.now()
        })
        const [code] = (await Promise.race([once(child, 'exit'), sleep(15_000, ['it did not end'], { ref: false })])) as unknown[]
        assert.equal(code, 0)
        assert.equal(output, 'ready\n')
        assert.isBelow(performance.now() - answeredAt, GRANTED_MS, 'it lingered')
      })
    }
  })
})

/** The other process, asked over IPC. */
class Other {
  readonly #child: ChildProcess
  #id = 0

  constructor(child: ChildProcess) {
    this.#child = child
    child.setMaxListeners(0)
  }

  ask(question: { readonly slug?: string | undefined; readonly operation?: string }): Promise<Answer> {
    const id = ++this.#id
    const answer = new Promise<Answer>((resolve, reject) => {
      const settle = (reply: Answer) => {
        if (reply.id !== id) return
        this.#child.off('message', settle)
        resolve(reply)
      }
      this.#child.on('message', settle)
      this.#child.once('exit', () => reject(new Error('the other process ended')))
    })
    this.#child.send({ id, ...question })
    return answer
  }

  /** Asks again and again until it is so. */
  async until(question: object, wanted: (answer: Answer) => boolean, slug?: string, withinMs = GRANTED_MS): Promise<void> {
    await waitFor(async () => wanted(await this.ask({ ...question, slug })), withinMs)
  }
}

async function waitFor(condition: () => Promise<boolean>, withinMs = GRANTED_MS): Promise<void> {
  const begun = performance.now()
  while (!(await condition())) {
    assert.isBelow(performance.now() - begun, withinMs, `${PROMISED_MS} ms are promised; in vain waited for ${String(condition)}`)
    await sleep(2)
  }
}

function databaseOf(url: string): string {
  return new URL(url).pathname.slice(1)
}
