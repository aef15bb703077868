/** package.json, the lock file and what packing makes of them. */
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { assert } from 'chai'
import { BACKUP, compiledPath, publishedManifest, replaceManifest, restoreManifest, type Manifest } from '../scripts/packing.ts'

interface RepositoryManifest extends Manifest {
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>
  readonly allowScripts: Readonly<Record<string, boolean>>
}
interface Locked {
  readonly version?: string
  readonly resolved?: string
  readonly hasInstallScript?: boolean
  readonly link?: boolean
}

const root = dirname(import.meta.dirname)
const text = (path: string): string => readFileSync(join(root, path), 'utf8')
const manifest = JSON.parse(text('package.json')) as RepositoryManifest
const lock = JSON.parse(text('package-lock.json')) as { readonly packages: Readonly<Record<string, Locked>> }
const EXACT = /^(?:npm:(?:@[\w-]+\/)?[\w-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/

describe('package.json', () => {
  it('is the one of the repository, not one that a killed packing left', () => {
    assert.isFalse(existsSync(join(root, BACKUP)), 'run: node scripts/pack.ts end')
  })

  for (const [subpath, target] of Object.entries(manifest.exports)) {
    it(`exports ${subpath} from a source that exists`, () => {
      assert.isTrue(existsSync(join(root, target)), target)
      if (subpath !== './package.json') assert.match(target, /^\.\/(src|admin)\/.+\.ts$/)
    })
  }

  it('has a command that is a script of its own', () => {
    for (const path of Object.values(manifest.bin ?? {})) {
      assert.match(text(path), /^#!\/usr\/bin\/env node\n/, path)
      accessSync(join(root, path), constants.X_OK)
    }
    assert.hasAllKeys(manifest.bin, ['tenantkit'])
  })

  it('pins every dependency', () => {
    const loose = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(([, version]) => !EXACT.test(version))
    assert.deepEqual(loose, [])
  })

  it('has optional peers only, each installed here too', () => {
    for (const name of Object.keys(manifest.peerDependencies)) {
      assert.isTrue(manifest.peerDependenciesMeta[name]?.optional, name)
      assert.property(manifest.devDependencies, name)
      assert.notProperty(manifest.dependencies, name)
    }
  })

  it('has one version of MikroORM', () => {
    const versions = Object.entries(manifest.dependencies).filter(([name]) => name.startsWith('@mikro-orm/'))
    assert.lengthOf(new Set(versions.map(([, version]) => version)), 1)
  })
})

describe('package-lock.json', () => {
  it('names no host', () => {
    assert.deepEqual(
      Object.entries(lock.packages).filter(([, { resolved }]) => resolved !== undefined),
      [],
    )
    assert.notMatch(text('package-lock.json'), /registry\.|"(?:resolved|tarball)"/)
  })

  it('fits package.json', () => {
    const { dependencies, devDependencies, peerDependencies } = lock.packages[''] as RepositoryManifest & Locked
    assert.deepEqual(
      { dependencies, devDependencies, peerDependencies },
      {
        dependencies: manifest.dependencies,
        devDependencies: manifest.devDependencies,
        peerDependencies: manifest.peerDependencies,
      },
    )
  })

  it('runs no install script that is not allowed', () => {
    const names = Object.entries(lock.packages)
      .filter(([, { hasInstallScript, version }]) => hasInstallScript && version)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
    assert.includeMembers(Object.keys(manifest.allowScripts), [...new Set(names)])
  })
})

describe('packing', () => {
  const sample: Manifest = {
    name: 'x',
    version: '1.0.0',
    types: './src/index.ts',
    bin: { x: 'src/cli/main.ts' },
    exports: { '.': './src/index.ts', './admin': './admin/index.ts', './package.json': './package.json' },
    scripts: { test: 'x', prepack: 'y', postpack: 'z' },
    devDependencies: { y: '1.0.0' },
  }
  let folder: string
  const put = (value: string): void => writeFileSync(join(folder, 'package.json'), value)
  const got = (): string => readFileSync(join(folder, 'package.json'), 'utf8')
  const original = `${JSON.stringify(sample, null, 4)}\n\n`

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tenantkit-packing-'))
    put(original)
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('names compiled files only', () => {
    assert.deepEqual(publishedManifest(sample), {
      name: 'x',
      version: '1.0.0',
      scripts: { prepack: 'y', postpack: 'z' },
      types: './dist/src/index.d.ts',
      bin: { x: 'dist/src/cli/main.js' },
      exports: {
        '.': { types: './dist/src/index.d.ts', default: './dist/src/index.js' },
        './admin': { types: './dist/admin/index.d.ts', default: './dist/admin/index.js' },
        './package.json': './package.json',
      },
    })
    assert.notMatch(JSON.stringify(publishedManifest(manifest)).replaceAll('.d.ts"', '"'), /\.tsx?"|"\.\/src/)
  })

  it('refuses what cannot be compiled', () => {
    for (const path of ['./src/x.js', './dist/src/x.ts', '../x.ts', './src/x.d.ts', 'file:x.ts'])
      assert.throws(() => compiledPath(path, '.js'), path)
  })

  it('restores byte for byte, and restoring twice does nothing', () => {
    replaceManifest(folder)
    assert.deepEqual(JSON.parse(got()), publishedManifest(sample))
    assert.isTrue(restoreManifest(folder))
    assert.equal(got(), original)
    assert.isFalse(restoreManifest(folder))
  })

  it('begins anew after a killed packing', () => {
    replaceManifest(folder)
    replaceManifest(folder)
    restoreManifest(folder)
    assert.equal(got(), original)
  })

  it('restores when it was killed between the two writes', () => {
    writeFileSync(join(folder, BACKUP), original)
    assert.isTrue(restoreManifest(folder))
    assert.equal(got(), original)
    assert.isFalse(existsSync(join(folder, BACKUP)))
  })

  it('does not lose an edit made while the published one stood there', () => {
    replaceManifest(folder)
    put('{ "name": "edited" }')
    assert.throws(() => restoreManifest(folder), /edited/)
    assert.equal(got(), '{ "name": "edited" }')
    assert.equal(readFileSync(join(folder, BACKUP), 'utf8'), original)
  })
})
