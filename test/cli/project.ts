/** A project in a folder of its own, in which the command line runs as a process of its own. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { assert } from 'chai'
import { runCli } from '../../src/cli/run-cli.ts'
import { generateKey } from '../../src/crypto/key-ring.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const MAIN = join(ROOT, 'src/cli/main.ts')
const KEY = generateKey('k1')

/** What a process gave. */
export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Project extends Disposable {
  readonly folder: string
  /** What its configuration reads from the environment. */
  readonly env: Readonly<Record<string, string>>
  /** Runs `tenantkit` there. */
  run(args: readonly string[], more?: { env?: Record<string, string>; cwd?: string; signalAfter?: RegExp }): Promise<Ran>
  /**
   * Runs it with `--json` and reads the one document; the exit code must be the expected one. In this process where it can be, which is
   * faster: a configuration is loaded once, and with what the environment said then.
   */
  json(args: readonly string[], code?: number, env?: Record<string, string>): Promise<any>
  /** Runs it in this process, which is faster, for what comes before a test. The configuration is loaded once. */
  prepare(args: readonly string[]): Promise<void>
  /** Replaces the configuration. */
  configure(text: string): void
}

/** The configuration of most tests; `more` goes into the options. */
export function configuration(more = ''): string {
  return `import { ConflictError, bothEntity, defineTenancy, em, mikroOrmConfigs, sharedEntity, tenantEntity } from 'mikro-tenantkit'

export const Plan = sharedEntity({ name: 'Plan', properties: p => ({ id: p.uuid().primary(), code: p.string() }) })
export const Customer = tenantEntity({ name: 'Customer', properties: p => ({ id: p.uuid().primary(), name: p.string() }) })
export const InvoiceLine = tenantEntity({ name: 'InvoiceLine', properties: p => ({ id: p.uuid().primary(), label: p.string() }) })
export const User = bothEntity({
  name: 'User',
  properties: p => ({ id: p.uuid().primary(), email: p.string(), passwordHash: p.string() }),
})

if (process.env.TEST_TALKS) console.log('a configuration that talks')
export const options = defineTenancy({
  entities: [Plan, Customer, InvoiceLine, User],
  database: { url: process.env.TEST_URL },
  keys: process.env.TEST_KEYS,
  naming: { prefix: process.env.TEST_PREFIX },
  migrations: { path: new URL('./migrations', import.meta.url).pathname },
  async bootstrapAdmin({ email, password }) {
    if (await em().findOne(User.tenant, { email })) throw new ConflictError('This user exists.')
    em().create(User.tenant, { id: crypto.randomUUID(), email, passwordHash: String(password.length) })
    await em().flush()
  },
  ${more}
})
export default mikroOrmConfigs(options)
`
}

/** A project whose control plane is the database at `url`. */
export function project(url: string, prefix: string, config = configuration()): Project {
  const folder = mkdtempSync(join(tmpdir(), 'tenantkit-cli-'))
  mkdirSync(join(folder, 'node_modules'))
  mkdirSync(join(folder, 'deep/er'), { recursive: true })
  symlinkSync(ROOT, join(folder, 'node_modules/mikro-tenantkit'))
  symlinkSync(join(ROOT, 'node_modules/@mikro-orm'), join(folder, 'node_modules/@mikro-orm'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'project', type: 'module' }))
  let text = ''
  const configure = (changed: string): void => {
    text = changed
    writeFileSync(join(folder, 'mikro-orm.config.ts'), changed)
  }
  configure(config)
  const own = { TEST_URL: url, TEST_KEYS: KEY, TEST_PREFIX: prefix }
  const cache = { NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(folder, 'cache') }
  /** The configuration that this process has loaded. */
  let loaded: string | undefined
  const here = async (args: readonly string[]): Promise<Ran> => {
    loaded = text
    Object.assign(process.env, own)
    let [stdout, stderr] = ['', '']
    const code = await runCli(args, {
      stdout: said => void (stdout += said),
      stderr: said => void (stderr += said),
      env: {},
      cwd: folder,
      colour: false,
      errorColour: false,
      columns: 100,
    })
    return { code, stdout, stderr }
  }
  const run: Project['run'] = (args, { env = {}, cwd = folder, signalAfter } = {}) =>
    new Promise((done, fail) => {
      const { PATH = '', HOME = '' } = process.env
      const child = spawn(process.execPath, [MAIN, ...args], {
        cwd,
        env: { PATH, HOME, TEST_TALKS: '1', ...own, ...cache, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let [stdout, stderr, sent] = ['', '', false]
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text
        if (sent || !signalAfter?.test(stderr)) return
        sent = true
        child.kill('SIGINT')
      })
      child.on('error', fail)
      child.on('close', code => done({ code, stdout, stderr }))
    })
  return {
    folder,
    env: { ...own, ...cache },
    run,
    configure,
    async prepare(args) {
      const { code, stdout, stderr } = await here(args)
      assert.equal(code, 0, stdout + stderr)
    },
    async json(args, code = 0, env = {}) {
      const isHere = (loaded === undefined || loaded === text) && Object.keys(env).length === 0
      const ran = await (isHere ? here([...args, '--json']) : run([...args, '--json'], { env }))
      const about = `tenantkit ${args.join(' ')}\n${ran.stdout}\n${ran.stderr}`
      assert.equal(ran.code, code, about)
      // Throws when there is more than one document.
      const document = JSON.parse(ran.stdout)
      if (code !== 0) assert.containsAllKeys(document, ['type', 'title', 'status', 'detail', 'code'], about)
      return document
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}
