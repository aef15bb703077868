/**
 * Makes admin/bundle/components.bundle.js from admin/components: `node scripts/bundle-admin.ts`, or with `--check` only compares. It is
 * checked in, so that neither an installation nor a start bundles anything; a test compares it with its sources.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ADDED, FILES } from '../admin/component-names.ts'

const root = dirname(import.meta.dirname)
const target = join(root, 'admin', 'bundle', 'components.bundle.js')

/** AdminJS reads its settings from the environment when it is imported; hence a process of its own. */
async function build(folder: string): Promise<void> {
  const { AdminJS, ComponentLoader } = await import('adminjs')
  const bundler = (await import('adminjs/bundler')) as unknown as {
    componentsBundler: { createEntry(entry: { content: string }): Promise<void>; build(): Promise<unknown> }
    generateUserComponentEntry(admin: unknown, folder: string): string
  }
  const loader = new ComponentLoader()
  const file = (name: string): string => join(root, 'admin', 'components', name)
  for (const [name, source] of Object.entries(FILES)) loader.override(name, file(source))
  for (const name of ADDED) loader.add(name, file(name))
  const admin = new AdminJS({ componentLoader: loader })
  await bundler.componentsBundler.createEntry({ content: bundler.generateUserComponentEntry(admin, folder) })
  await bundler.componentsBundler.build()
}

function run(): void {
  const folder = mkdtempSync(join(tmpdir(), 'tenantkit-bundle-'))
  try {
    const env = { ...process.env, NODE_ENV: 'production', ADMIN_JS_TMP_DIR: folder, TENANTKIT_BUNDLE: folder }
    execFileSync(process.execPath, [import.meta.filename], { cwd: root, env, stdio: ['ignore', 'ignore', 'inherit'] })
    const made = `/* Made by scripts/bundle-admin.ts from admin/components. */\n${readFileSync(join(folder, 'bundle.js'), 'utf8').trimEnd()}\n`
    if (process.argv.includes('--check')) {
      if (existsSync(target) && readFileSync(target, 'utf8') === made) return
      throw new Error('admin/bundle is not what admin/components says: run npm run build:admin')
    }
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, made)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const folder = process.env['TENANTKIT_BUNDLE']
if (folder === undefined) run()
else await build(folder)
