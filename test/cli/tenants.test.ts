/** The commands on a real control plane, each in a process of its own, one after the other as an operator would. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import { dropRolesLike, freshDatabase, query, serverUrl, uniquePrefix, type TestDatabase } from '../helpers/postgres.ts'
import { configuration, project, type Project } from './project.ts'

describe('tenantkit on a control plane', function () {
  this.timeout(30_000)
  const prefix = uniquePrefix()
  let database: TestDatabase
  let place: Project

  before(async () => {
    database = await freshDatabase('cli')
    place = project(database.url, prefix)
  })
  after(async () => {
    place[Symbol.dispose]()
    await database.drop()
    // The template of the tenants' databases refuses to be dropped while it is one.
    const templates = await query<{ name: string }>(
      serverUrl(),
      'select datname as name from pg_database where datistemplate and starts_with(datname, $1)',
      [prefix],
    )
    for (const { name } of templates) await query(serverUrl(), `alter database "${name}" is_template false`)
    await dropRolesLike(prefix)
  })

  const human = async (args: readonly string[], code = 0, env: Record<string, string> = {}) => {
    const ran = await place.run(args, { env })
    assert.equal(ran.code, code, `tenantkit ${args.join(' ')}\n${ran.stdout}\n${ran.stderr}`)
    return ran
  }
  const statusOf = async (slug: string): Promise<string> =>
    (await query<{ status: string }>(database.url, 'select status from public.tenantkit_tenant where slug = $1', [slug]))[0]?.status ??
    'none'

  describe('migrations', () => {
    it('writes the first files, and none when nothing changed', async () => {
      const planned = await place.json(['migrate:create', '--scope', 'all', '--dry-run'])
      assert.deepInclude(planned, { scope: 'all', dry_run: true, created: false })
      const tablesIn = (statements: string[]) => statements.flatMap(sql => /^create table "(\w+)"/.exec(sql)?.[1] ?? []).toSorted()
      // What is of both scopes has a table in each; nothing else is in both.
      assert.deepEqual(
        planned.files.map(({ scope, up }: { scope: string; up: string[] }) => [scope, tablesIn(up)]),
        [
          ['shared', ['plan', 'user']],
          ['tenant', ['customer', 'invoice_line', 'user']],
        ],
      )
      assert.isFalse(existsSync(join(place.folder, 'migrations')))
      const shared = await place.json(['migrate:create', '--scope', 'shared', '--name', 'first'])
      assert.equal(shared.created, true)
      assert.match(shared.path, /migrations\/shared\/.+first.*\.ts$/)
      const { stdout } = await human(['migrate:create', '--scope', 'tenant', '--name', 'first'])
      assert.match(stdout, /^created migrations\/tenant\/.+first/)
      assert.isNotEmpty(readdirSync(join(place.folder, 'migrations/tenant')))
      assert.deepEqual(await place.json(['migrate:create', '--scope', 'tenant', '--name', 'again']), {
        scope: 'tenant',
        created: false,
        path: null,
        up: [],
        down: [],
        dry_run: false,
      })
    })

    it('writes no file where that of another scope is refused', async () => {
      const changed = configuration()
        .replace('code: p.string()', 'code: p.string(), label: p.string().nullable()')
        .replace(
          `name: 'Customer', properties: p => ({ id: p.uuid().primary(), name: p.string() })`,
          `name: 'Customer', properties: p => ({ id: p.uuid().primary() })`,
        )
      const written = () =>
        ['shared', 'tenant'].flatMap(scope => {
          const folder = join(place.folder, 'migrations', scope)
          return readdirSync(folder).map(file => [file, readFileSync(join(folder, file), 'utf8')])
        })
      const before = written()
      place.configure(changed)
      try {
        const { code, detail } = await place.json(['migrate:create', '--scope', 'all', '--name', 'second'], 1)
        assert.equal(code, 'DESTRUCTIVE_MIGRATION')
        assert.include(detail, 'customer')
        assert.deepEqual(written(), before)
      } finally {
        place.configure(configuration())
      }
    })

    it('refuses a bad name', async () => {
      const { errors } = await place.json(['migrate:create', '--scope', 'tenant', '--name', '../up'], 1)
      assert.isNotEmpty(errors)
    })

    it('fails the check before, applies once, then has nothing to do, then passes the check', async () => {
      const before = await place.json(['check', '--strict'], 1)
      assert.isNotEmpty(before.details.checks.filter(({ level }: { level: string }) => level !== 'ok'))
      assert.match((await place.json(['tenants', 'list'], 1)).hint, /tenantkit migrate/)
      const first = await place.json(['migrate'])
      assert.isNotEmpty(first.shared)
      assert.deepEqual(first.tenants, [])
      const { stdout, stderr } = await human(['migrate'])
      assert.match(stdout, /^control plane: up to date\n0 tenants, 0 succeeded, 0 failed\n$/)
      assert.match(stderr, /Migrating/)
      assert.deepEqual((await place.json(['migrate', '--scope', 'shared'])).shared, [])
      const after = await place.json(['check'])
      assert.equal(after.ok, true)
      assert.isNotEmpty(after.checks)
      assert.match((await human(['check'])).stdout, /\d+ checks, 0 errors/)
    })
  })

  describe('tenants', () => {
    it('creates one by schema with an administrator whose password comes from the environment', async () => {
      const env = { TENANTKIT_NEW_ADMIN_PASSWORD: 'from the environment' }
      const args = ['tenants', 'create', '--slug', 'acme', '--name', 'Acme', '--isolation', 'schema', '--admin-email', 'first@acme.test']
      const ran = await human([...args, '--metadata', '{"plan":"gold"}', '--json'], 0, env)
      const tenant = JSON.parse(ran.stdout)
      assert.deepInclude(tenant, { slug: 'acme', name: 'Acme', isolation_mode: 'schema', status: 'ready', created_by: 'system:cli' })
      assert.deepEqual(tenant.metadata, { plan: 'gold' })
      assert.notInclude(ran.stdout + ran.stderr, 'from the environment')
    })

    it('creates one by database', async () => {
      const { stdout, stderr } = await human(['tenants', 'create', '--slug', 'globex', '--name', 'Globex', '--isolation', 'database'])
      assert.match(stdout, /^created globex\n[^]*status +ready/)
      assert.match(stderr, /Creating globex/)
      assert.notMatch(stdout + stderr, /postgres(ql)?:\/\//)
    })

    it('fails with the problem document for a taken slug and for bad fields', async () => {
      const args = ['tenants', 'create', '--name', 'Acme', '--isolation', 'schema']
      assert.deepInclude(await place.json([...args, '--slug', 'acme'], 1), { code: 'SLUG_TAKEN', status: 409, title: 'Slug taken' })
      const bad = await place.json([...args, '--slug', 'Not A Slug'], 1)
      assert.equal(bad.status, 400)
      const manual = await place.json([...args, '--slug', 'third', '--provisioning', 'manual'], 1)
      assert.equal(manual.code, 'VALIDATION_FAILED')
      assert.include(
        manual.errors.map(({ path }: { path: string }) => path),
        'schema_name',
      )
    })

    it('lists them, all and in pages', async () => {
      const all = await place.json(['tenants', 'list'])
      assert.sameMembers(
        all.items.map(({ slug }: { slug: string }) => slug),
        ['acme', 'globex'],
      )
      assert.isNull(all.next_cursor)
      const one = await place.json(['tenants', 'list', '--limit', '1'])
      const two = await place.json(['tenants', 'list', '--limit', '1', '--cursor', one.next_cursor])
      assert.sameMembers([one.items[0].slug, two.items[0].slug], ['acme', 'globex'])
      assert.lengthOf((await place.json(['tenants', 'list', '--isolation', 'database'])).items, 1)
      assert.deepEqual((await place.json(['tenants', 'list', '--status', 'archived'])).items, [])
      const { stdout } = await human(['tenants', 'list'])
      assert.match(stdout, /^slug +name +status +isolation/)
      assert.match(stdout, /acme +Acme +ready +schema/)
    })

    it('shows one', async () => {
      assert.deepInclude(await place.json(['tenants', 'show', 'acme']), { slug: 'acme', connection_string: null })
      assert.match((await human(['tenants', 'show', 'globex'])).stdout, /^slug +globex$/m)
    })

    it('says that there is no such tenant', async () => {
      for (const command of ['suspend', 'delete']) {
        assert.deepInclude(await place.json(['tenants', command, 'nobody'], 1), { code: 'TENANT_NOT_FOUND', status: 404 }, command)
      }
      const { stdout, stderr } = await human(['tenants', 'show', 'nobody'], 1)
      assert.equal(stdout, '')
      assert.match(stderr, /error: There is no tenant "nobody"\. \[TENANT_NOT_FOUND\]\nhint: /)
      assert.equal((await place.json(['migrate', '--tenant', 'nobody'], 1)).code, 'TENANT_NOT_FOUND')
    })

    it('migrates the tenants that are named, and there is nothing to do', async () => {
      const { shared, tenants } = await place.json(['migrate', '--tenant', 'acme,globex', '--concurrency', '2'])
      assert.deepEqual(shared, [])
      assert.sameDeepMembers(tenants, [
        { tenant: 'acme', status: 'applied', names: [] },
        { tenant: 'globex', status: 'applied', names: [] },
      ])
      const { stdout } = await human(['migrate', '--scope', 'tenant'])
      assert.match(stdout, /acme: up to date\n[^]*2 tenants, 2 succeeded, 0 failed\n$/)
    })

    it('suspends, resumes, deletes and restores', async () => {
      const suspended = await place.json(['tenants', 'suspend', 'acme'])
      assert.containsAllKeys(suspended, ['operation', 'tenant'])
      assert.equal(suspended.tenant.status, 'suspended')
      assert.deepInclude(await place.json(['tenants', 'suspend', 'acme'], 1), { code: 'INVALID_STATE', status: 409 })
      assert.match((await human(['tenants', 'resume', 'acme'])).stdout, /^resumed acme \(status: ready\)\n$/)
      assert.deepInclude(await place.json(['tenants', 'delete', 'acme']), { status: 'archived', deleted_by: 'system:cli' })
      assert.match((await human(['tenants', 'restore', 'acme'])).stdout, /^restored acme \(status: ready\)/)
      assert.equal(await statusOf('acme'), 'ready')
    })

    it('makes an administrator, with a password that is shown once on standard error', async () => {
      const { stdout, stderr } = await human(['tenants', 'bootstrap-admin', 'globex', '--admin-email', 'grace@globex.test', '--json'])
      assert.equal(JSON.parse(stdout).tenant.slug, 'globex')
      const password = /Password of grace@globex\.test \(shown only now\): (\S{20,})/.exec(stderr)?.[1]
      assert.isString(password)
      assert.notInclude(stdout, password!)
      const given = await human([
        'tenants',
        'bootstrap-admin',
        'acme',
        '--admin-email',
        'ada@acme.test',
        '--admin-password',
        'given by hand',
      ])
      assert.notInclude(given.stdout + given.stderr, 'given by hand')
    })

    it('purges only with the phrase, and only what is deleted', async () => {
      await human(['tenants', 'delete', 'globex'])
      assert.deepInclude(await place.json(['tenants', 'purge', 'globex'], 1), { code: 'CONFIRMATION_REQUIRED', status: 400 })
      assert.equal((await place.json(['tenants', 'purge', 'globex', '--confirm', 'DELETE acme'], 1)).code, 'CONFIRMATION_REQUIRED')
      assert.equal(await statusOf('globex'), 'archived')
      assert.equal((await place.json(['tenants', 'purge', 'globex', '--confirm', 'DELETE globex'])).tenant.status, 'purged')
      assert.equal((await place.json(['tenants', 'purge', 'acme', '--confirm', 'DELETE acme'], 1)).code, 'INVALID_STATE')
      await human(['tenants', 'delete', 'acme'])
      assert.match((await human(['tenants', 'purge', 'acme', '--confirm', 'DELETE acme'])).stdout, /^purged acme/)
    })
  })

  describe('failures', () => {
    it('exits with 1 when one tenant cannot be migrated, and says which', async () => {
      for (const slug of ['good', 'lost']) await human(['tenants', 'create', '--slug', slug, '--name', slug, '--isolation', 'schema'])
      await query(database.url, `drop schema "${prefix}_lost" cascade`)
      // The registry cannot know what was done by hand: it is asked about one that is named, or is behind.
      assert.equal((await place.json(['migrate', '--tenant', 'lost'], 1)).code, 'MIGRATION_FAILED')
      await query(database.url, `update public.tenantkit_tenant set schema_version = null where slug = 'lost'`)
      const { code, detail, details } = await place.json(['migrate', '--scope', 'tenant'], 1)
      assert.equal(code, 'MIGRATION_FAILED')
      assert.match(detail, /1 of 2 tenants failed: lost/)
      const lost = details.tenants.find(({ tenant }: { tenant: string }) => tenant === 'lost')
      assert.equal(lost.status, 'failed')
      assert.isString(lost.error)
      const { stdout, stderr } = await human(['migrate', '--scope', 'tenant'], 1)
      assert.match(stdout, /lost: FAILED [^]*2 tenants, 1 succeeded, 1 failed/)
      assert.match(stderr, /\[MIGRATION_FAILED\]/)
    })

    it('ends with 130 on SIGINT in the middle of its work, closes, and leaves no connection', async () => {
      place.configure(
        configuration(`close: async () => { console.log('closed by the options') },`).replace(
          'async bootstrapAdmin({ email, password }) {',
          `$&\n    console.log('work has begun')\n    await new Promise(done => setTimeout(done, 60_000))`,
        ),
      )
      const args = ['tenants', 'bootstrap-admin', 'good', '--admin-email', 'a@good.test', '--json']
      const began = Date.now()
      const { code, stdout, stderr } = await place.run(args, { signalAfter: /work has begun/ })
      assert.equal(code, 130, stderr)
      assert.equal(JSON.parse(stdout).code, 'INTERRUPTED')
      assert.include(stderr, 'closed by the options')
      assert.isBelow(Date.now() - began, 9_000)
      const left = await query(
        database.url,
        `select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
      )
      assert.deepEqual(left, [])
    })
  })
})
