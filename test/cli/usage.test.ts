/** What needs no database: usage, keys, entities and finding the configuration. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import { runCli } from '../../src/cli/run-cli.ts'
import { problemOf } from '../../src/cli/problem.ts'
import { parseKeyRing } from '../../src/crypto/key-ring.ts'
import { configuration, project, type Project } from './project.ts'

const NOWHERE = 'postgres://nobody:hidden@127.0.0.1:9/none'

/** Runs the command line inside this process. */
async function inside(args: readonly string[], cwd = '/', signal?: AbortSignal) {
  let [stdout, stderr] = ['', '']
  const code = await runCli(args, {
    stdout: text => void (stdout += text),
    stderr: text => void (stderr += text),
    env: {},
    cwd,
    colour: false,
    errorColour: false,
    columns: 100,
    ...(signal === undefined ? {} : { signal }),
  })
  return { code, stdout, stderr }
}

describe('tenantkit: usage', () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /Name a command/],
    [['nonsense'], /There is no command "nonsense"\./],
    [['migrat'], /Did you mean `tenantkit migrate`\?/],
    [['tenants', 'lst', '--limit', '3'], /There is no command "lst"\.[^]*Did you mean `tenantkit tenants list`\?/],
    [['tenants', 'list', '--stauts=ready'], /There is no option --stauts here\.[^]*Did you mean `--status`\?/],
    [['migrate', 'acme'], /The argument "acme" is one too many\./],
    [['tenants'], /Name a command of/],
    [['tenants', 'nonsense'], /nonsense/],
    [['tenants', 'list', '--nonsense'], /nonsense/],
    [['tenants', 'show'], /Not enough non-option arguments/],
    [['tenants', 'create', '--slug', 'acme'], /name, isolation/],
    [['tenants', 'create', '--slug', 'acme', '--name', 'A', '--isolation', 'row'], /isolation/],
    [['tenants', 'create', '--slug', 'acme', '--name', 'A', '--isolation', 'schema', '--metadata', '[1]'], /JSON object/],
    [['tenants', 'create', '--slug', 'acme', '--name', 'A', '--isolation', 'schema', '--admin-password', 'x'], /admin-email/],
    [['tenants', 'bootstrap-admin', 'acme'], /admin-email/],
    [['tenants', 'list', '--limit', 'many'], /whole number/],
    [['migrate', '--concurrency', '0'], /whole number/],
    [['migrate', '--scope', 'nonsense'], /scope/],
    [['migrate', '--scope', 'shared', '--tenant', 'acme'], /--tenant/],
    [['migrate', '--tenant', ' , '], /names no tenant/],
    [['migrate:create', '--scope', 'tenant'], /name/],
    [['keys'], /Name a command of/],
    [['entities', '--scope', 'nonsense'], /scope/],
    [['drift', '--tenant', ','], /names no tenant/],
    [['run'], /Not enough non-option arguments/],
    [['run', 'x.ts', '--concurrency', '1.5'], /whole number/],
    [['doctor', '--strikt'], /Did you mean `--strict`\?/],
  ]
  for (const [args, about] of wrong) {
    it(`refuses \`${args.join(' ')}\` with 2, a usage text and a problem document`, async () => {
      const human = await inside(args)
      assert.equal(human.code, 2)
      assert.equal(human.stdout, '')
      assert.match(human.stderr, /tenantkit/)
      assert.match(human.stderr, about)
      assert.match(human.stderr, /\[WRONG_USAGE\]/)
      const json = await inside([...args, '--json'])
      assert.equal(json.code, 2)
      const document = JSON.parse(json.stdout)
      assert.containsAllKeys(document, ['type', 'title', 'status', 'detail', 'code', 'hint'])
      assert.equal(document.code, 'WRONG_USAGE')
      assert.match(`${document.detail}\n${document.hint}`, about)
      assert.equal(json.stderr, '')
    })
  }

  it('shows the usage of every command and runs none', async () => {
    const commands = [
      'check',
      'doctor',
      'drift',
      'run',
      'entities',
      'tenants',
      'tenants create',
      'tenants purge',
      'migrate',
      'migrate:create',
      'keys generate',
    ]
    for (const command of ['', ...commands]) {
      const { code, stdout, stderr } = await inside([...command.split(' ').filter(Boolean), '--help'])
      assert.deepEqual([code, stderr], [0, ''], command)
      assert.include(stdout, `tenantkit ${command}`.trim())
      assert.include(stdout, '--json')
    }
    assert.property(JSON.parse((await inside(['--help', '--json'])).stdout), 'usage')
  })
})

describe('tenantkit keys generate', () => {
  it('makes a key that a key ring reads, without a configuration', async () => {
    const human = await inside(['keys', 'generate'])
    assert.equal(human.code, 0)
    parseKeyRing(human.stdout.trim())
    assert.match(human.stderr, /TENANTKIT_ENCRYPTION_KEYS/)
    const { stdout } = await inside(['keys', 'generate', '--id', 'k9', '--json'])
    const document = JSON.parse(stdout)
    assert.equal(document.id, 'k9')
    assert.match(document.key, /^k9:/)
    parseKeyRing(document.key)
  })

  it('refuses a bad id', async () => {
    const { code, stdout } = await inside(['keys', 'generate', '--id', 'a b', '--json'])
    assert.equal(code, 1)
    assert.equal(JSON.parse(stdout).code, 'CONFIGURATION_INVALID')
  })
})

describe('tenantkit: the configuration', function () {
  this.timeout(30_000)
  let place: Project
  before(() => void (place = project(NOWHERE, 'tkcli')))
  after(() => place[Symbol.dispose]())

  it('lists the entities by scope without a database; what the configuration prints is no part of the result', async () => {
    const document = await place.json(['entities'])
    assert.sameMembers(Object.keys(document), ['shared', 'tenant', 'both', 'unclassified'])
    const of = (name: string, table: string, scope: string, global: boolean) => ({
      full_name: name,
      app_label: 'application',
      model_name: name,
      table_name: table,
      auto_migrate: true,
      allow_global_queries: global,
      scope,
    })
    assert.deepInclude(document.shared, of('Plan', 'plan', 'shared', true))
    assert.deepInclude(document.shared, { ...of('Tenant', 'tenantkit_tenant', 'shared', true), app_label: 'mikro-tenantkit' })
    assert.deepInclude(document.tenant, of('InvoiceLine', 'invoice_line', 'tenant', false))
    assert.deepInclude(document.both, of('User', 'user', 'both', true))
    assert.deepEqual(document.unclassified, [])
  })

  it('lists one scope, as a table', async () => {
    const { code, stdout, stderr } = await place.run(['entities', '--scope', 'tenant'], { cwd: join(place.folder, 'deep/er') })
    assert.equal(code, 0, stderr)
    assert.match(stdout, /tenant \d+\n\ntenant\n {2}entity +table +module +flags\n/)
    assert.match(stdout, /InvoiceLine +invoice_line +application +migrate\n/)
    assert.match(stdout, /\nflags: migrate = /)
    assert.notInclude(stdout, 'Plan')
    assert.notInclude(stdout, 'a configuration that talks')
    assert.include(stderr, 'a configuration that talks')
  })

  it('lists one module, and on request what has no table of its own', async () => {
    const addition = `import { defineEntity, p } from '@mikro-orm/postgresql'
const Address = defineEntity({ name: 'Address', embeddable: true, properties: { street: p.string() } })
const Ledger = defineEntity({ name: 'Ledger', properties: { id: p.uuid().primary() } })
`
    const more = 'classification: { tenant: { billing: { Ledger } } },'
    place.configure(`${addition}${configuration(more).replace('entities: [', 'entities: [Address, ')}`)
    try {
      const of = async (...args: string[]) => {
        const document: Record<string, { full_name: string; auto_migrate: boolean }[]> = await place.json(['entities', ...args])
        return Object.values(document).flatMap(rows => rows.map(({ full_name, auto_migrate }) => `${full_name} ${auto_migrate}`))
      }
      assert.deepEqual(await of('--app', 'billing'), ['billing.Ledger true'])
      assert.include(await of('--include-unregistered', '--scope', 'unclassified'), 'Address false')
      assert.notInclude(await of(), 'Address false')
    } finally {
      place.configure(configuration())
    }
  })

  it('lists what has no scope, and why the configuration is refused', async () => {
    place.configure(
      `import { defineEntity, p } from '@mikro-orm/postgresql'\n${configuration().replace('entities: [', "entities: [defineEntity({ name: 'Stray', properties: { id: p.uuid().primary() } }), ")}`,
    )
    try {
      const { code, stdout, stderr } = await place.run(['entities', '--json'])
      assert.equal(code, 0, stderr)
      const document = JSON.parse(stdout)
      const [stray, ...others] = document.unclassified
      assert.deepInclude(stray, { full_name: 'Stray', table_name: 'stray', scope: 'unclassified', auto_migrate: false })
      assert.isEmpty(others)
      assert.deepEqual(
        document.both.map(({ full_name }: { full_name: string }) => full_name),
        ['User'],
      )
      assert.match(stderr, /warning: .*Stray/)
      assert.equal((await place.json(['check'], 1)).code, 'CONFIGURATION_INVALID')
    } finally {
      place.configure(configuration())
    }
  })

  it('says where it looked when there is none', async () => {
    const { code, stdout, stderr } = await inside(['check'], '/')
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /no mikro-orm\.config\.ts[^]*\[CONFIGURATION_INVALID\][^]*hint: /)
    const given = await inside(['check', '--config', 'gone.ts', '--json'], place.folder)
    assert.equal(given.code, 1)
    assert.include(JSON.parse(given.stdout).detail, join(place.folder, 'gone.ts'))
  })

  it('refuses a configuration without options, and one that does not load', async () => {
    const write = (name: string, text: string): string => {
      mkdirSync(join(place.folder, 'other'), { recursive: true })
      const path = join(place.folder, 'other', name)
      writeFileSync(path, text)
      return path
    }
    for (const [path, about] of [
      [write('none.ts', 'export const other = 1\n'), /does not export the options/],
      [write('broken.ts', "throw new Error('on purpose')\n"), /on purpose/],
    ] as const) {
      const { code, stdout } = await inside(['entities', '--config', path, '--json'], place.folder)
      assert.equal(code, 1)
      const { code: name, detail } = JSON.parse(stdout)
      assert.equal(name, 'CONFIGURATION_INVALID')
      assert.match(detail, about)
    }
    rmSync(join(place.folder, 'other'), { recursive: true })
  })

  it('fails with a problem document when the database does not answer, closes what the options began, and hides the password', async () => {
    place.configure(configuration(`close: async () => { console.log('closed by the options') },`))
    try {
      const { code, stdout, stderr } = await place.run(['tenants', 'list', '--json'])
      assert.equal(code, 1, stderr)
      assert.containsAllKeys(JSON.parse(stdout), ['type', 'title', 'status', 'detail', 'code', 'hint'])
      assert.equal(JSON.parse(stdout).code, 'INTERNAL', stdout)
      assert.include(stderr, 'closed by the options')
      assert.notInclude(stdout + stderr, 'hidden')
    } finally {
      place.configure(configuration())
    }
  })

  it('answers what the signal says when it is interrupted before it begins', async () => {
    const { code, stdout } = await inside(['entities', '--json'], place.folder, AbortSignal.abort(130))
    assert.equal(code, 130)
    assert.equal(JSON.parse(stdout).code, 'INTERRUPTED')
  })
})

describe('the problem document of an error', () => {
  it('says the innermost reason, and neither a statement nor a password', () => {
    const cause = Object.assign(new Error('relation "x" does not exist at postgres://me:hidden@host/db'), { code: '42P01' })
    const { detail, code, hint } = problemOf(new Error("insert into x values ('private') - relation", { cause }))
    assert.equal(detail, 'relation "x" does not exist at postgres://me:***@host/db')
    assert.equal(code, 'INTERNAL')
    assert.match(hint ?? '', /tenantkit migrate/)
  })

  it('takes anything that is thrown', () => {
    assert.equal(problemOf(undefined).detail, 'undefined')
    assert.equal(problemOf(new AggregateError([new Error('a'), new Error('b')])).detail, 'a; b')
  })
})
