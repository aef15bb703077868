/** The history on the command line, over the control plane and a tenant of each isolation. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import { runCli } from '../../src/cli/run-cli.ts'
import { databaseUrl, dropRolesLike, freshDatabase, query, uniquePrefix, type TestDatabase } from '../helpers/postgres.ts'
import { configuration, project, type Project } from './project.ts'

describe('tenantkit history', function () {
  this.timeout(60_000)
  const prefix = uniquePrefix()
  let database: TestDatabase
  let place: Project

  /** In this process; what stands on standard output, and the exit code. */
  const ran = async (args: readonly string[], code = 0) => {
    let [stdout, stderr] = ['', '']
    const stdoutOf = (text: string) => void (stdout += text)
    const stderrOf = (text: string) => void (stderr += text)
    const io = { stdout: stdoutOf, stderr: stderrOf, env: {}, cwd: place.folder, colour: false, errorColour: false, columns: 100 }
    assert.equal(await runCli(['history', ...args], io), code, `${args.join(' ')}\n${stdout}\n${stderr}`)
    return { stdout, stderr }
  }
  const json = async (args: readonly string[], code = 0) => JSON.parse((await ran([...args, '--json'], code)).stdout)

  before(async () => {
    database = await freshDatabase('cli history')
    const recorded = configuration().replace(`name: 'Customer', properties`, `name: 'Customer', history: true, properties`)
    place = project(database.url, prefix, recorded)
    await place.prepare(['migrate:create', '--scope', 'all', '--name', 'first'])
    await place.prepare(['migrate'])
    writeFileSync(
      join(place.folder, 'add.ts'),
      `import { em } from 'mikro-tenantkit'
import { Customer } from './mikro-orm.config.ts'
export default async () => {
  em().create(Customer, { id: crypto.randomUUID(), name: 'Ada' } as never)
  await em().flush()
}
`,
    )
    for (const [slug, isolation] of [
      ['acme', 'schema'],
      ['globex', 'database'],
    ] as const)
      await place.prepare(['tenants', 'create', '--slug', slug, '--name', slug, '--isolation', isolation])
    await place.prepare(['run', 'add.ts'])
  })
  after(async () => {
    place[Symbol.dispose]()
    await database.drop()
    await dropRolesLike(prefix)
  })

  it('list shows a page of a tenant or of the control plane, and goes on after it', async () => {
    const { items } = await json(['list', '--tenant', 'globex', '--entity', 'Customer', '--action', 'create', '--actor', 'system:run'])
    assert.lengthOf(items, 1)
    assert.deepEqual(items[0].changes.name, [null, 'Ada'])
    const narrow = await json(['list', '--tenant', 'globex', '--entity', 'Customer', '--entity-id', items[0].entity_id])
    assert.deepEqual(narrow.items, items)
    assert.isEmpty((await json(['list', '--tenant', 'globex', '--actor', 'global:nobody'])).items)
    const first = await json(['list', '--limit', '1'])
    const second = await json(['list', '--limit', '1', '--cursor', first.next_cursor])
    assert.isAbove(Date.parse(first.items[0].at), Date.parse(second.items[0].at) - 1)
    assert.notEqual(first.items[0].id, second.items[0].id)
    const { stdout } = await ran(['list', '--tenant', 'acme'])
    assert.match(stdout, /^at +action +entity +id +actor +changed\n\S+ +create +Customer +\S+ +system:run +.*\bname\b/)
    assert.match((await ran(['list', '--tenant', 'nobody'], 1)).stderr, /\[TENANT_NOT_FOUND\]/)
  })

  it('seal and verify go over every plane, or over those that are named', async () => {
    const before = await json(['verify'])
    assert.deepEqual(
      before.planes.map(({ plane }: { plane: string }) => plane),
      ['control plane', 'acme', 'globex'],
    )
    assert.isAbove(before.planes[1].unsealed, 0)
    assert.match(
      (await ran(['seal', '--tenant', 'acme', '--scope', 'tenant', '--concurrency', '1'])).stdout,
      /^plane +outcome\nacme +1 sealed\n$/,
    )
    assert.isTrue((await json(['seal'])).ok)
    const after = await json(['verify', '--newest', '10'])
    assert.deepEqual(
      after.planes.map(({ unsealed, checked }: Record<string, number>) => [unsealed, checked! > 0]),
      [
        [0, true],
        [0, true],
        [0, true],
      ],
    )
    assert.match(
      (await ran(['verify', '--scope', 'shared'])).stdout,
      /^plane +outcome\ncontrol plane +intact, \d+ checked, 0 not sealed yet, head \d+ [0-9a-f]{12}\n$/,
    )
  })

  it('verify fails where a chain was changed, and where it was made anew behind a head that was kept', async () => {
    writeFileSync(join(place.folder, 'heads.json'), (await ran(['verify', '--json'])).stdout)
    assert.isTrue((await json(['verify', '--known', 'heads.json'])).ok)
    const table = 'tenant.tenantkit_audit_event'
    const url = databaseUrl(`${prefix}_globex`)
    await query(url, `update ${table} set actor = 'global:somebody-else'`)
    const { stdout, stderr } = await ran(['verify', '--known', 'heads.json'], 1)
    assert.match(stdout, /\nacme +intact/)
    assert.match(stdout, /\nglobex +BROKEN at 1: changed, event /)
    assert.match(stderr, /\[HISTORY_FAILED\] *1 of 3 histories: globex\.|1 of 3 histories: globex\.[^]*HISTORY_FAILED/)
    await query(url, `update ${table} set position = null, hash = null, previous_hash = null`)
    await query(url, 'update tenant.tenantkit_audit_chain set head_position = anchor_position, head_hash = anchor_hash')
    await ran(['seal', '--tenant', 'globex'])
    assert.isTrue((await json(['verify'])).ok)
    const { details } = await json(['verify', '--known', 'heads.json'], 1)
    assert.isFalse(details.planes.find(({ plane }: { plane: string }) => plane === 'globex').ok)
    // The heads of the others are read from the problem as well.
    writeFileSync(join(place.folder, 'failed.json'), JSON.stringify({ code: 'HISTORY_FAILED', details }))
    await ran(['verify', '--tenant', 'acme', '--known', 'failed.json'])
  })

  it('purge wants its phrase and a time, and keeps what is verified still', async () => {
    const count = async () =>
      (await query<{ count: number }>(database.url, 'select count(*)::int as count from public.tenantkit_audit_event'))[0]!.count
    const before = await count()
    assert.isAbove(before, 0)
    for (const args of [
      ['--before', '2999-01-01'],
      ['--before', '2999-01-01', '--confirm', 'purge history'],
      ['--before', 'tomorrow', '--confirm', 'PURGE HISTORY'],
      ['--before', '12', '--confirm', 'PURGE HISTORY'],
      ['--confirm', 'PURGE HISTORY'],
    ])
      await ran(['purge', ...args], 2)
    assert.equal(await count(), before)
    const { planes } = await json(['purge', '--scope', 'shared', '--before', '2999-01-01T00:00:00Z', '--confirm', 'PURGE HISTORY'])
    assert.isAtLeast(planes[0].removed, before)
    assert.isTrue((await json(['verify', '--scope', 'shared'])).ok)
    assert.equal((await json(['list', '--limit', '1'])).items[0].action, 'history.purge')
  })

  it('refuses a file of heads that is none', async () => {
    writeFileSync(join(place.folder, 'none.json'), '{"planes":[{"plane":"acme"},{"head":null},null,7]}')
    assert.match((await ran(['verify', '--known', 'none.json'], 2)).stderr, /names no head/)
    assert.match((await ran(['verify', '--known', 'missing.json'], 2)).stderr, /cannot be read/)
    await ran(['verify', '--tenant', ','], 2)
    await ran([], 2)
  })
})
