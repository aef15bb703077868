/** A process that is killed while PostgreSQL builds an index concurrently for it, in both isolations. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import pg from 'pg'
import { query } from '../helpers/postgres.ts'
import { scene, type Scene } from './scene.ts'

const BUILDING = `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
  and state = 'active' and wait_event_type = 'Lock' and query ilike 'create index concurrently%'`

describe('a run that is killed while an index is built concurrently', function () {
  this.timeout(60_000)
  let fleet: Scene
  const slugs = ['s0x', 'd0x']
  const building = (slug: string) => query<{ pid: number }>(fleet.place(slug).url, BUILDING)
  const index = async (slug: string) =>
    (
      await fleet.in<{ valid: boolean }>(
        slug,
        `select i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
         where c.relnamespace = '@'::regnamespace and c.relname = 'author_slow'`,
      )
    ).map(({ valid }) => valid)
  const until = async (what: string, holds: () => Promise<boolean>) => {
    for (const end = Date.now() + 20_000; !(await holds()); await sleep(20)) assert.isBelow(Date.now(), end, what)
  }

  before(async () => {
    fleet = await scene(1, 1)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  it('goes on with the index that PostgreSQL finished, and builds again the one that was left invalid', async () => {
    const first = fleet.write(201, `    this.addSql('create table "once" ("id" int)')`)
    const name = fleet.write(
      202,
      `    this.addSql('create index concurrently "author_slow" on "author" ("name")')`,
      '  override readonly online = true\n  override isTransactional() {\n    return false\n  }',
    )
    const readers = await Promise.all(
      slugs.map(async slug => {
        const reader = new pg.Client({ connectionString: fleet.place(slug).url })
        await reader.connect()
        // The build waits for whoever has written.
        await reader.query(`begin; lock table "${fleet.place(slug).schema}".author in row exclusive mode`)
        return reader
      }),
    )
    try {
      await killed(fleet, async () => (await Promise.all(slugs.map(building))).every(found => found.length === 1))
      for (const slug of slugs) {
        assert.deepEqual(await index(slug), [false], slug)
        assert.include([...(await fleet.recorded(slug))], first)
        assert.notInclude([...(await fleet.recorded(slug))], name)
      }
      // One backend ends with its server or its connection; the other goes on, for PostgreSQL does not look whether its client is there.
      const [abandoned] = await building('s0x')
      await query(fleet.kit.url, 'select pg_terminate_backend($1)', [abandoned!.pid])
    } finally {
      for (const reader of readers) await reader.end()
    }
    await until('the build ends', async () => (await building('d0x')).length === 0 && (await index('d0x'))[0] === true)
    assert.deepEqual(await index('s0x'), [false])
    const [run] = (await fleet.tenancy.fleet.status()).runs
    assert.equal(run?.status, 'interrupted')
    const report = await fleet.kit.asSystem(() => fleet.tenancy.fleet.resume(run!.id))
    assert.deepInclude(report.run, { status: 'succeeded', applied: 2, failed: 0 })
    for (const slug of slugs) {
      assert.deepEqual(await index(slug), [true], slug)
      assert.sameMembers(
        (await fleet.recorded(slug)).filter(each => [first, name].includes(each)),
        [first, name],
        slug,
      )
      const [mark] = await fleet.in<{ mark: string | null }>(slug, `select obj_description('@.tenantkit_migration'::regclass) as mark`)
      assert.isNull(mark!.mark, 'how far it came is forgotten')
    }
    assert.isFalse(await fleet.tenancy.pendingMigrations())
  })

  /** Lets a process migrate and kills it when it is at the place. */
  async function killed({ kit }: Scene, there: () => Promise<boolean>): Promise<void> {
    const child = fork(join(import.meta.dirname, 'child.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const exit = once(child, 'exit')
    await once(child, 'message')
    const { keys, naming, migrations } = kit.options
    child.send({ url: kit.url, keys, prefix: naming!.prefix, path: migrations.path, run: undefined, concurrency: 2 })
    await until('both are being built', there)
    child.kill('SIGKILL')
    await exit
  }
})
