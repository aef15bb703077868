/** S42, S41: no command, option, setting, class or export is documented that the code lacks. Tried on a planted page as well. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import { runCli } from 'mikro-tenantkit/cli'
import { ROOT, membersOf, readPages, wordsOf, type Page } from '../helpers/docs.ts'

const INDEXES = ['src/index.ts', 'src/http/index.ts', 'src/cli/index.ts', 'src/embedded/index.ts', 'src/testing/index.ts']
/** Settings by the word before the dot: `pool.shared`. */
const SETTINGS: Readonly<Record<string, string>> = {
  database: 'DatabaseOptions',
  pool: 'PoolOptions',
  isolation: 'IsolationOptions',
  directory: 'DirectoryOptions',
  classification: 'ClassificationOptions',
  usage: 'UsageOptions',
}
/** Names of others: MikroORM's and PostgreSQL's, Koa's, those of the example and of HTTP. */
const FOREIGN = new Set([
  'AbortSignal', 'Accept', 'Allow', 'Announcement', 'AsyncResource', 'Authorization', 'Collection', 'Country', 'Currency', 'Customer', 'EntityManager', 'EntityRepository',
  'Invoice', 'InvoiceLine', 'Koa', 'Kysely', 'Location', 'NativeQueryBuilder', 'Notice', 'Plan', 'Prefer', 'Product', 'QueryBuilder', 'Reference', 'Tag', 'User',
]) // prettier-ignore
/** Options of other commands. */
const FOREIGN_OPTIONS = new Set(['context', 'quick'])

const silent = { stderr: () => undefined, env: {}, cwd: ROOT, colour: false, errorColour: false, columns: 200 }

async function help(...words: readonly string[]): Promise<string> {
  let text = ''
  assert.equal(await runCli([...words, '--help'], { ...silent, stdout: part => void (text += part) }), 0, words.join(' '))
  return text
}

const subcommands = (text: string): string[] =>
  [...(text.split('Commands:\n')[1]?.split('\n\n')[0] ?? '').matchAll(/^ {2}tenantkit ([a-z: -]+?)(?= {2}| <| \[|$)/gm)].map(
    ([, name]) => name!,
  )

/** Every command with its options. */
async function commandLine(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const commands = new Map<string, ReadonlySet<string>>()
  const visit = async (name: string): Promise<void> => {
    const text = await help(...name.split(' ').filter(Boolean))
    const below = subcommands(text).filter(sub => sub.startsWith(name) && sub !== name)
    // A group does nothing itself.
    if (below.length === 0) commands.set(name, new Set([...text.matchAll(/^ +--([a-z][a-z-]*)/gm)].map(([, option]) => option!)))
    for (const each of below) await visit(each)
  }
  await visit('')
  return commands
}

/** What a page calls and the command line does not have. */
function unknownCommands({ path, text, blocks }: Page, commands: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const problems: string[] = []
  const shown = [
    ...text.matchAll(/`(?:npx )?(tenantkit [^`\n]+)`/g),
    ...blocks.flatMap(({ code }) => [...code.matchAll(/^(?:npx )?(tenantkit .+)$/gm)]),
  ]
  for (const [, line = ''] of shown) {
    const words = line.split(/\s+/).slice(1)
    const [first = '', second = ''] = words
    if (/^[<…-]/.test(first) || second === '…') continue
    const name = [`${first} ${second}`, first].find(each => commands.has(each))
    if (name === undefined) problems.push(`${path}: ${line}`)
    else {
      const options = words.flatMap(word => /^\[?--([a-z][a-z-]*)/.exec(word)?.[1] ?? [])
      problems.push(...options.filter(option => !commands.get(name)!.has(option)).map(option => `${path}: --${option} in ${line}`))
    }
  }
  const all = new Set([...commands.values()].flatMap(options => [...options]))
  for (const word of text.matchAll(/`--([a-z][a-z-]*)[^`\n]*`/g)) {
    if (!all.has(word[1]!) && !FOREIGN_OPTIONS.has(word[1]!)) problems.push(`${path}: ${word[0]}`)
  }
  return problems
}

/** Classes, types and settings that a page names in code style and that nothing exports or declares. */
function unknownNames(page: Page, exported: ReadonlySet<string>): string[] {
  const settings = new Map(Object.entries(SETTINGS).map(([word, name]) => [word, new Set(membersOf(name))]))
  return wordsOf(page).flatMap(word => {
    const isName = /^(?:new )?([A-Z][a-z]+(?:[A-Z][A-Za-z]*)*)(?:\(.*\))?$/.exec(word)?.[1]
    if (isName !== undefined && !exported.has(isName) && !FOREIGN.has(isName)) return [`${page.path}: ${word}`]
    const [, group = '', member = ''] = /^([a-z]+)\.([A-Za-z]+)\b/.exec(word) ?? []
    return settings.has(group) && !settings.get(group)!.has(member) ? [`${page.path}: ${word}`] : []
  })
}

const pageOf = (text: string): Page => ({
  path: 'planted.md',
  name: 'planted',
  text,
  blocks: [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, info = '', code = '']) => ({ info, code, line: 1 })),
  prose: text,
})

describe('S42: what the documentation names', () => {
  const pages = readPages()
  const exported = new Set(
    INDEXES.flatMap(path => [...readFileSync(join(ROOT, path), 'utf8').matchAll(/\b[A-Z]\w+/g)].map(([name]) => name)),
  )
  let commands: ReadonlyMap<string, ReadonlySet<string>>
  before(async () => void (commands = await commandLine()))

  it('are commands and options that exist', () => {
    assert.isAtLeast(commands.size, 17)
    assert.deepEqual(
      pages.flatMap(page => unknownCommands(page, commands)),
      [],
    )
  })

  it('are options that the tests of the command line give', () => {
    const tests = globSync('test/cli/*.ts', { cwd: ROOT })
      .map(path => readFileSync(join(ROOT, path), 'utf8'))
      .join('')
    const untried = [...commands].flatMap(([name, options]) => {
      return [...options].filter(option => option !== 'help' && !tests.includes(`'--${option}'`)).map(option => `${name} --${option}`)
    })
    assert.deepEqual(untried, [])
  })

  it('are classes, types and settings that exist', () => {
    assert.deepEqual(
      pages.flatMap(page => unknownNames(page, exported)),
      [],
    )
  })

  it('are missed where they do not exist', () => {
    const planted = pageOf(
      'Run `tenantkit activate`, `tenantkit migrate --fake`, `--dual-mode`; see `ActivationService`, `new TenantMetrics()`, `pool.maximum`.\n```sh\nnpx tenantkit tenants rename acme\n```\n',
    )
    assert.deepEqual(unknownCommands(planted, commands), [
      'planted.md: tenantkit activate',
      'planted.md: --fake in tenantkit migrate --fake',
      'planted.md: tenantkit tenants rename acme',
      'planted.md: `--dual-mode`',
    ])
    assert.deepEqual(unknownNames(planted, exported), [
      'planted.md: ActivationService',
      'planted.md: new TenantMetrics()',
      'planted.md: pool.maximum',
    ])
    const sound = pageOf(
      'Run `tenantkit migrate --tenant a,b` and `npx tenantkit tenants show acme`; see `Tenancy`, `pool.shared`, `--json`.',
    )
    assert.deepEqual([...unknownCommands(sound, commands), ...unknownNames(sound, exported)], [])
  })
})
