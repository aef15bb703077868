/**
 * The steps of packing, run by npm: `build` makes `dist`; `begin` (prepack) builds and puts the published package.json in place;
 * `end` (postpack) restores the repository's; `refuse` (prepublishOnly) stops a publish from the folder.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { compiledPath, replaceManifest, restoreManifest, type Manifest } from './packing.ts'

const root = dirname(import.meta.dirname)

const build = (): void => {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
  execFileSync(process.execPath, [compiler, '--project', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  // The pages of the back office load it as it is.
  cpSync(join(root, 'admin', 'bundle'), join(root, 'dist', 'admin', 'bundle'), { recursive: true })
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  for (const source of Object.values(bin ?? {})) chmodSync(join(root, compiledPath(source, '.js')), 0o755)
}

const steps: Readonly<Record<string, () => void>> = {
  build,
  // The manifest is replaced last, so that the published one stands there for a moment only.
  begin() {
    restoreManifest(root)
    build()
    replaceManifest(root)
  },
  end() {
    restoreManifest(root)
  },
  // npm reads the manifest for the registry after postpack: published from the folder, `bin` would name a source that is not in the package.
  refuse() {
    throw new Error('Publish the packed file, not the folder: npm pack, then npm publish ./mikro-tenantkit-<version>.tgz')
  },
}

const step = steps[process.argv[2] ?? '']
try {
  if (!step) throw new Error(`usage: node scripts/pack.ts ${Object.keys(steps).join(' | ')}`)
  step()
} catch (error) {
  // The compiler has said on its own what is wrong.
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
