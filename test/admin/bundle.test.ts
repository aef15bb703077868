/** What is loaded when: the bundle that is checked in, and a process without the panel. */
import { execFile } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { assert } from 'chai'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')

describe('admin: bundle', function () {
  this.timeout(60_000)

  it('is what the components say', async () => {
    await run(process.execPath, ['scripts/bundle-admin.ts', '--check'], { cwd: root })
  })

  it('names no path of a machine', () => {
    assert.notMatch(readFileSync(join(root, 'admin/bundle/components.bundle.js'), 'utf8'), /node_modules|file:|\/home\/|\/tmp\//)
  })

  it('costs nothing where no panel is served: AdminJS is not loaded by importing the package, nor by making a panel', async () => {
    const code = `
      import { accountsOf, createAdminPanel } from 'mikro-tenantkit/admin'
      createAdminPanel({}, { accounts: accountsOf({}) })
      const { default: inspector } = await import('node:module')
      const loaded = Object.keys(inspector._cache ?? {}).filter(path => path.includes('adminjs'))
      console.log(JSON.stringify({ loaded, megabytes: process.memoryUsage().rss / 1e6 }))`
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', code], { cwd: root })
    assert.deepEqual(JSON.parse(stdout).loaded, [])
    const { stdout: graph } = await run(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `const { registerHooks } = await import('node:module'); const seen = []; registerHooks({ resolve: (s, c, next) => { seen.push(s); return next(s, c) } }); await import('mikro-tenantkit/admin'); console.log(JSON.stringify(seen))`,
      ],
      { cwd: root },
    )
    const specifiers = JSON.parse(graph) as string[]
    assert.include(specifiers, './panel.ts')
    assert.deepEqual(
      specifiers.filter(each => /adminjs|@koa\/router|^react/.test(each)),
      [],
    )
  })

  it('never names the half of @adminjs/koa that must not be used', () => {
    const files = globSync('{admin,example,src}/**/*.{ts,tsx}', { cwd: root })
    assert.isAbove(files.length, 100)
    for (const file of files) {
      const text = readFileSync(join(root, file), 'utf8')
      assert.notMatch(text, /buildAuthenticatedRouter|variant: 'tinymce'|'mixed'.*PropertyType/, file)
    }
  })
})
