/** Several tenants in one transaction: where that is done, and that one in the way of the others goes alone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import pg from 'pg'
import { query } from '../helpers/postgres.ts'
import { sentDuring } from '../helpers/spy.ts'
import { addColumn, scene, type Scene } from './scene.ts'

describe('tenants that are migrated together', function () {
  this.timeout(60_000)
  let fleet: Scene
  let number = 1
  const next = () => number++
  /** Migrates one after the other, and answers how many tenants each message of a migration changed. */
  const migrate = async (marker: string) => {
    let report: Awaited<ReturnType<Scene['migrate']>> | undefined
    const sent = await sentDuring(async () => void (report = await fleet.migrate({ concurrency: 1 })))
    const sizes = sent.filter(({ text }) => text.includes(marker)).map(({ text }) => text.split('set local search_path').length - 1)
    return { report: report!, sizes }
  }
  const eachHas = async (name: string, slugs: readonly string[] = fleet.slugs) => {
    for (const slug of slugs) assert.include([...(await fleet.recorded(slug))], name, slug)
  }

  before(async () => {
    fleet = await scene(6, 0)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  it('are those that are closed, where only tables are defined', async () => {
    const name = fleet.write(next(), addColumn('grouped'))
    const { report, sizes } = await migrate('add column "grouped"')
    assert.deepInclude(report.run, { status: 'succeeded', applied: 6, failed: 0 })
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      6,
    )
    assert.isAbove(Math.max(...sizes), 1, `no message for several: ${sizes.join()}`)
    await eachHas(name)
    for (const slug of fleet.slugs) assert.include([...(await fleet.columns(slug, 'author'))], 'grouped', slug)
    assert.isFalse(await fleet.tenancy.pendingMigrations())
  })

  it('are none that are used meanwhile, and none whose rows are worked on', async () => {
    fleet.write(next(), addColumn('used'), '  override readonly online = true')
    assert.deepEqual((await migrate('add column "used"')).sizes, Array(6).fill(1))
    fleet.write(next(), `    this.addSql('update "author" set "used" = 1')\n${addColumn('filled')}`)
    assert.deepEqual((await migrate('add column "filled"')).sizes, Array(6).fill(1))
  })

  it('are all done but the one that fails', async () => {
    const name = fleet.write(next(), addColumn('planted'))
    await fleet.in('s3x', 'alter table @.author add column planted text')
    const { report, sizes } = await migrate('add column "planted"')
    assert.isAbove(Math.max(...sizes), 1)
    assert.deepInclude(report.run, { applied: 5, failed: 1 })
    assert.match(report.tenants.find(({ tenant }) => tenant === 's3x')!.error!, /planted/)
    await eachHas(
      name,
      fleet.slugs.filter(slug => slug !== 's3x'),
    )
    assert.notInclude([...(await fleet.recorded('s3x'))], name)
    await fleet.in('s3x', 'alter table @.author drop column planted')
    await fleet.migrate()
    await eachHas(name)
  })

  it('do not wait for one whose table is locked', async () => {
    const name = fleet.write(next(), addColumn('waited'))
    const report = new pg.Client({ connectionString: fleet.kit.url })
    await report.connect()
    try {
      await report.query(`begin; select count(*) from "${fleet.place('s2x').schema}".author`)
      const running = fleet.migrate({ concurrency: 2 })
      const others = fleet.slugs.filter(slug => slug !== 's2x')
      const left = async () => (await Promise.all(others.map(slug => fleet.recorded(slug)))).filter(names => !names.includes(name)).length
      const began = performance.now()
      while ((await left()) > 0 && performance.now() - began < 10_000) await sleep(20)
      assert.equal(await left(), 0, 'the others wait')
      assert.notInclude([...(await fleet.recorded('s2x'))], name)
      await report.query('commit')
      assert.equal((await running).run?.status, 'succeeded')
    } finally {
      await report.end()
    }
    await eachHas(name)
  })

  for (const [isolation, slug] of [
    ['schema', 's4x'],
    ['database', 'd0x'],
  ] as const) {
    it(`are not changed twice where the registry does not know it, isolation ${isolation}`, async () => {
      if (!fleet.slugs.includes(slug)) await fleet.kit.asSystem(() => fleet.tenancy.provision({ slug, name: slug, isolation }))
      const [first, second] = [
        fleet.write(next(), addColumn(`told_${slug}`)),
        fleet.write(next(), addColumn(`untold_${slug}`), '  override readonly online = true'),
      ]
      // As by somebody who works without the registry.
      await fleet.in(slug, `alter table @.author add column told_${slug} int; insert into @.tenantkit_migration (name) values ('${first}')`)
      const { report } = await migrate(`add column "told_${slug}"`)
      assert.deepInclude(report.run, { status: 'succeeded', failed: 0 })
      assert.deepEqual(report.tenants.find(({ tenant }) => tenant === slug)?.names, [second])
      await eachHas(first)
      await eachHas(second)
      const rows = await query<{ until: Date | null; version: string }>(
        fleet.kit.url,
        'select distinct migrating_until as until, schema_version as version from public.tenantkit_tenant',
      )
      assert.deepEqual(rows, [{ until: null, version: second }])
      assert.isFalse(await fleet.tenancy.pendingMigrations())
    })
  }

  it('get what one of them does not have recorded, though the registry says so', async () => {
    const forgotten = fleet.write(next(), `    this.addSql(\`comment on table "author" is 'people'\`)`)
    await fleet.migrate()
    await fleet.in('s5x', `delete from @.tenantkit_migration where name = '${forgotten}'`)
    const name = fleet.write(next(), addColumn('after'))
    await fleet.migrate()
    await eachHas(forgotten)
    await eachHas(name)
  })
})
