/** Holds the documentation against the code: what a page shows compiles and runs, and what it names exists. */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { assert } from 'chai'
import * as core from 'mikro-tenantkit'
import * as admin from 'mikro-tenantkit/admin'
import * as cli from 'mikro-tenantkit/cli'
import * as embedded from 'mikro-tenantkit/embedded'
import * as koa from 'mikro-tenantkit/koa'
import * as testing from 'mikro-tenantkit/testing'
import { THROTTLE_DEFAULTS } from '../src/auth/throttle.ts'
import { DIRECTORY_DEFAULTS, POOL_DEFAULTS } from '../src/options.ts'
import { USAGE_DEFAULTS } from '../src/usage/usage-types.ts'
import { Tenancy } from '../src/tenancy.ts'
import { ROOT, anchorsOf, fileOf, linksOf, markersOf, membersOf, plain, readPages, tableOf, wordsOf, type Page } from './helpers/docs.ts'
import { freshDatabase } from './helpers/postgres.ts'

const BIN = join(ROOT, 'node_modules/.bin')
/** The two commands of the README: they are compared with package.json, as running them here would install and never end. */
const INSTALL = /^npm ci && npm (start|test)$/
/** Code that a page names and this package does not export. */
const FOREIGN: ReadonlySet<string> = new Set(['defineEntity', 'nativeDelete', 'nativeUpdate', 'populate'])

describe('the documentation', () => {
  const pages = readPages()
  const page = (name: string): Page => pages.find(each => each.name === name)!
  let scratch: string

  before(() => {
    // Inside the repository, so that the blocks find the package by its public name.
    mkdirSync(join(ROOT, 'test/.scratch'), { recursive: true })
    scratch = mkdtempSync(join(ROOT, 'test/.scratch/docs-'))
    writeFileSync(join(scratch, 'tsconfig.json'), JSON.stringify({ extends: '../../../tsconfig.json', include: ['**/*.ts'] }))
    mkdirSync(join(scratch, 'bin'))
    // `npx tenantkit` without what npx looks up first.
    const npx = `#!/bin/sh\n[ "$1" = tenantkit ] || exit 64\nshift\nexec '${process.execPath}' '${join(ROOT, 'src/cli/main.ts')}' "$@"\n`
    writeFileSync(join(scratch, 'bin/npx'), npx)
    chmodSync(join(scratch, 'bin/npx'), 0o755)
    for (const each of pages) {
      mkdirSync(join(scratch, each.name))
      for (const block of each.blocks) if (isTypeScript(block.info)) writeFileSync(join(scratch, each.name, fileOf(block)), block.code)
    }
  })

  after(() => rmSync(scratch, { recursive: true, force: true }))

  it('marks every block with a known language', () => {
    const allowed = ['ts', 'ts run', 'sh', 'text', 'json']
    for (const { path, blocks } of pages) for (const { info, line } of blocks) assert.include(allowed, info, `${path}:${line}`)
  })

  it('shows TypeScript that compiles', async function () {
    this.timeout(60_000)
    const { code, output } = await run(join(BIN, 'tsc'), ['--project', scratch], ROOT)
    assert.equal(code, 0, output)
  })

  it('shows programs and commands that run', async function () {
    this.timeout(60_000)
    // The pages side by side, the blocks of one in their order.
    await Promise.all(pages.map(each => runPage(each, scratch)))
  })

  it('names the commands of package.json', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
    const commands = pages.flatMap(({ blocks }) =>
      blocks.filter(({ info }) => info === 'sh').flatMap(({ code }) => code.trim().split('\n')),
    )
    assert.includeMembers(commands, ['npm ci && npm start', 'npm ci && npm test'])
    assert.include(scripts['start'], 'example/main.ts')
    assert.include(scripts['test'], 'mocha')
    for (const { text, path } of pages) {
      for (const [, name] of text.matchAll(/npm run ([a-z][\w:-]*)/g)) assert.property(scripts, name!, path)
    }
  })

  it('links to what exists', () => {
    const anchors = new Map(pages.map(each => [join(ROOT, each.path), anchorsOf(each)]))
    for (const each of pages) {
      for (const link of linksOf(each)) {
        if (/^[a-z]+:/.test(link)) continue
        const [file, anchor] = link.split('#')
        const target = file ? join(ROOT, dirname(each.path), file) : join(ROOT, each.path)
        assert.isTrue(existsSync(target), `${each.path} links to ${link}`)
        if (anchor !== undefined) assert.include(anchors.get(target) ?? [], anchor, `${each.path} links to ${link}`)
      }
    }
    const index = linksOf(page('readme'))
    assert.includeMembers(
      [...index],
      pages.map(({ path }) => path).filter(path => path !== 'README.md'),
    )
  })

  it('names functions, methods and files that exist', () => {
    const exported = new Set([core, admin, cli, embedded, koa, testing].flatMap(module => Object.keys(module)))
    for (const each of pages) {
      for (const word of wordsOf(each)) {
        const about = `${each.path} names ${word}`
        const name = /^([a-z]\w*)\(.*\)$/.exec(word)?.[1]
        if (name !== undefined && !FOREIGN.has(name)) assert.isTrue(exported.has(name), about)
        const method = /^tenancy\.(\w+)/.exec(word)?.[1]
        // In, not read: a getter needs an instance.
        if (method !== undefined) assert.isTrue(method in Tenancy.prototype, about)
        if (/^(src|test|example|docs|scripts)\/[\w./-]+$/.test(word)) assert.isTrue(existsSync(join(ROOT, word)), about)
        if (/^mikro-tenantkit\/\w+$/.test(word)) {
          assert.include(['admin', 'cli', 'embedded', 'koa', 'testing'], word.split('/')[1], about)
        }
      }
    }
  })

  it('names the guard and the test of every promise', () => {
    const promises = tableOf(page('isolation'), 'promises')
    assert.isAtLeast(promises.length, 15)
    for (const [promise = '', guard = '', tests = ''] of promises) {
      assert.match(promise, /^\*\*/)
      assert.match(guard, /^`(src|test)\//, promise)
      assert.match(tests, /^`test\//, promise)
    }
  })

  it('lists every option, and no other', () => {
    const found = ['configuration', 'admin'].flatMap(name => markersOf(page(name), 'options').map(marker => ({ of: page(name), marker })))
    assert.isAtLeast(found.length, 10)
    for (const { of, marker } of found) {
      const [, name = '', path] = marker.split(' ')
      const listed = tableOf(of, marker).map(([option = '']) => plain(option))
      assert.sameMembers(listed, [...membersOf(name, path)], name)
    }
  })

  it('gives the defaults that hold', () => {
    const defaultsOf = (marker: string) =>
      Object.fromEntries(tableOf(page('configuration'), marker).map(([option = '', , value = '']) => [plain(option), plain(value)]))
    const texts = (defaults: object) => Object.fromEntries(Object.entries(defaults).map(([key, value]) => [key, String(value)]))
    assert.deepEqual(defaultsOf('options PoolOptions'), texts(POOL_DEFAULTS))
    assert.deepEqual(defaultsOf('options DirectoryOptions'), texts(DIRECTORY_DEFAULTS))
    assert.deepEqual(defaultsOf('options UsageOptions'), texts(USAGE_DEFAULTS))
    assert.deepInclude(defaultsOf('options ThrottleOptions'), texts(THROTTLE_DEFAULTS))
  })

  it('lists every environment variable, and no other', () => {
    const listed = tableOf(page('configuration'), 'environment').map(([name = '']) => plain(name))
    const sources = ['mikro-orm.config.ts', ...globSync('{example,src/cli}/**/*.ts', { cwd: ROOT })]
    const used = sources.flatMap(path =>
      [...readFileSync(join(ROOT, path), 'utf8').matchAll(/'((?:TENANTKIT|DATABASE)_[A-Z_]+|PORT|HOST|NODE_ENV)'/g)].map(
        ([, name]) => name!,
      ),
    )
    assert.sameMembers(listed, [...new Set(used)])
    for (const { path, text } of pages) {
      for (const [name] of text.matchAll(/\b(?:TENANTKIT|DATABASE)_[A-Z_]+\b/g))
        if (!/CROSS_/.test(name)) assert.include(listed, name, path)
    }
  })

  it('lists every error code with its status, and no other', () => {
    const codes = globSync('src/**/*.ts', { cwd: ROOT }).flatMap(path => {
      const source = readFileSync(join(ROOT, path), 'utf8')
      return [
        ...[...source.matchAll(/readonly code = '([A-Z_]+)'\s+readonly status = (\d+)/g)].map(([, code, status]) => `${code} ${status}`),
        // These end a command, and have the status of a failure.
        ...[...source.matchAll(/new CommandFailedError\(\s*'([A-Z_]+)'/g)].map(([, code]) => `${code} 500`),
      ]
    })
    const rows = markersOf(page('errors'), 'codes').flatMap(marker => [...tableOf(page('errors'), marker)])
    assert.sameMembers(
      rows.map(([code = '', status = '']) => `${plain(code)} ${status.split(' ')[0]}`),
      [...new Set(codes)],
    )
    for (const row of rows) for (const cell of row) assert.isNotEmpty(cell, row[0])
  })

  it('names no code that does not exist', () => {
    const known = new Set(
      markersOf(page('errors'), 'codes').flatMap(marker => tableOf(page('errors'), marker).map(([code = '']) => plain(code))),
    )
    const others =
      /^(FORCE_COLOR|NO_COLOR|TENANTKIT|DATABASE_(URL|DIRECT_URL)|NODE_ENV|DELETE|POST|GET|PATCH|PUT|HOST|PORT|CREATEDB|CREATEROLE)/
    for (const each of pages) {
      for (const word of wordsOf(each)) {
        if (/^[A-Z]{3,}(_[A-Z]+)*$/.test(word) && !others.test(word) && !Object.hasOwn(core, word))
          assert.include([...known], word, each.path)
      }
    }
  })

  it('says what each role may do', () => {
    for (const plane of ['global', 'tenant'] as const) {
      const table = tableOf(page('auth'), `roles ${plane}`)
      const roles = Object.entries(core.ROLES[plane]) as [string, readonly string[]][]
      const shown = table.map(([permission = '', ...cells]) => [plain(permission), cells.map(cell => cell === 'yes')])
      const wanted = core.PERMISSIONS.filter(permission => plane === 'global' || roles.some(([, list]) => list.includes(permission)))
      assert.deepEqual(
        shown,
        wanted.map(permission => [permission, roles.map(([, list]) => list.includes(permission))]),
      )
      const heading = page('auth').text.split(`<!-- roles ${plane} -->\n`)[1]!.trimStart().split('\n')[0]
      assert.equal(heading, `| permission | ${roles.map(([role]) => `\`${role}\``).join(' | ')} |`)
    }
  })

  it('lists every command and every flag, and no other', async () => {
    const listed = tableOf(page('commands'), 'commands')
    const shown = listed.map(([command = '']) => plain(command).split(/ [[<-]/)[0]!)
    const help = async (...words: string[]): Promise<string> => {
      let text = ''
      const io = {
        stdout: (part: string) => void (text += part),
        stderr: () => undefined,
        env: {},
        cwd: ROOT,
        colour: false,
        errorColour: false,
        columns: 200,
      }
      assert.equal(await cli.runCli([...words, '--help'], io), 0, words.join(' '))
      return text
    }
    const namesIn = (text: string): string[] => {
      const list = text.split('Commands:\n')[1]?.split('\n\n')[0] ?? ''
      return [...list.matchAll(/^ {2}tenantkit ([a-z: -]+?)(?= {2}| <| \[|$)/gm)].map(([, name]) => name!)
    }
    const top = namesIn(await help())
    const below = async (name: string): Promise<string[]> => namesIn(await help(name)).filter(each => each.startsWith(`${name} `))
    const all = (await Promise.all(top.map(async name => [name, await below(name)] as const))).flatMap(([name, group]) =>
      group.length > 0 ? group : [name],
    )
    assert.sameMembers(shown, all)
    for (const [index, [command = '']] of listed.entries()) {
      const flags = (text: string) => [...new Set([...text.matchAll(/--([a-z][a-z-]*)/g)].map(([, flag]) => flag!))]
      const options = (await help(...shown[index]!.split(' '))).split('Options:')[1]!.split('Examples:')[0]!
      const real = [...options.matchAll(/^ +--([a-z][a-z-]*)/gm)]
        .map(([, flag]) => flag!)
        .filter(flag => !['json', 'config', 'help'].includes(flag))
      assert.sameMembers(flags(command), real, shown[index]!)
    }
  })
})

/** Runs what a page shows, on a database of its own. A page with a configuration is a project, others stand in the repository. */
async function runPage({ name, path, blocks }: Page, scratch: string): Promise<void> {
  const live = blocks.filter(({ info, code }) => info === 'ts run' || (info === 'sh' && !INSTALL.test(code.trim())))
  if (live.length === 0) return
  await using database = await freshDatabase(`docs_${name}`)
  const folder = join(scratch, name)
  const hasProject = existsSync(join(folder, 'mikro-orm.config.ts'))
  const env = {
    DATABASE_URL: database.url,
    DATABASE_DIRECT_URL: '',
    NODE_ENV: '',
    PATH: [join(scratch, 'bin'), BIN, process.env['PATH']].join(delimiter),
    TENANTKIT_DATA_DIR: join(folder, '.data'),
    TENANTKIT_ENCRYPTION_KEYS: core.generateKey(),
    TENANTKIT_JWT_SECRET: 'a secret for the pages that has more than 32 bytes',
  }
  for (const block of live) {
    const { code, output } =
      block.info === 'sh'
        ? await run('sh', ['-euc', block.code], hasProject ? folder : ROOT, env)
        : await run(process.execPath, [join(folder, fileOf(block))], folder, env)
    assert.equal(code, 0, `${path}:${block.line}\n${output}`)
  }
}

function isTypeScript(info: string): boolean {
  return info === 'ts' || info === 'ts run'
}

/** Runs a program to its end; what it wrote to both streams is one text. */
function run(program: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) {
  return new Promise<{ code: number | null; output: string }>((done, fail) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.on('error', fail)
    child.on('close', code => done({ code, output }))
  })
}
