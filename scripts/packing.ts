/**
 * What packing does to package.json. In the repository `exports`, `types` and `bin` name the sources, which Node runs by stripping their
 * types; what is published names the compiled files in `dist`, which mirrors the repository (`src/x.ts` is `dist/src/x.js`).
 * See docs/adr/0001-exports-name-sources.md.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The part of package.json that packing reads. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly types?: string
  readonly bin?: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string>>
  readonly scripts?: Readonly<Record<string, string>>
  readonly [field: string]: unknown
}

/** The entry of a published subpath. */
export interface PublishedEntry {
  readonly types: string
  readonly default: string
}

/** Fields that serve the repository only. */
const REPOSITORY_ONLY = ['devDependencies', 'allowScripts', 'overrides'] as const
/** After a killed packing npm reads the published package.json, and only these let the next packing begin with restoring. Installing never runs them. */
export const KEPT_SCRIPTS: readonly string[] = ['prepack', 'postpack']

/** The compiled file of a source, with another ending. Throws when the path is not a TypeScript source below the root. */
export function compiledPath(source: string, ending: '.js' | '.d.ts'): string {
  const path = source.replace(/^\.\//, '')
  if (!/^(?!dist\/|\.)[^:]+\.ts$/.test(path) || path.endsWith('.d.ts')) {
    throw new Error(`package.json names ${source}; only .ts sources of this repository can be packed`)
  }
  return `./dist/${path.slice(0, -3)}${ending}`
}

/** The manifest that is published: only compiled files, nothing of the repository. */
export function publishedManifest(manifest: Manifest): Record<string, unknown> {
  const published: Record<string, unknown> = { ...manifest }
  for (const field of REPOSITORY_ONLY) delete published[field]
  if (manifest.scripts)
    published['scripts'] = Object.fromEntries(Object.entries(manifest.scripts).filter(([name]) => KEPT_SCRIPTS.includes(name)))
  if (manifest.types) published['types'] = compiledPath(manifest.types, '.d.ts')
  if (manifest.bin) {
    published['bin'] = Object.fromEntries(Object.entries(manifest.bin).map(([name, path]) => [name, compiledPath(path, '.js').slice(2)]))
  }
  published['exports'] = Object.fromEntries(
    Object.entries(manifest.exports).map(([subpath, target]): [string, string | PublishedEntry] =>
      target === './package.json'
        ? [subpath, target]
        : [subpath, { types: compiledPath(target, '.d.ts'), default: compiledPath(target, '.js') }],
    ),
  )
  return published
}

/** The text of the published package.json, from the text of the repository's. */
export const publishedText = (text: string): string => `${JSON.stringify(publishedManifest(JSON.parse(text) as Manifest), null, 2)}\n`

/** Where the repository's package.json waits while the published one stands in its place. */
export const BACKUP = '.package.json.backup'

/** Puts the published package.json in place; {@link restoreManifest} undoes it. Restores first what a killed packing left. */
export function replaceManifest(root: string): void {
  restoreManifest(root)
  const text = readFileSync(join(root, 'package.json'), 'utf8')
  const draft = join(root, `${BACKUP}.tmp`)
  writeFileSync(draft, text)
  renameSync(draft, join(root, BACKUP))
  writeFileSync(draft, publishedText(text))
  renameSync(draft, join(root, 'package.json'))
}

/**
 * Puts the repository's package.json back, byte for byte. Answers whether there was anything to do.
 * Throws when package.json was edited meanwhile: then neither file may be lost.
 */
export function restoreManifest(root: string): boolean {
  const backup = join(root, BACKUP)
  if (!existsSync(backup)) return false
  const kept = readFileSync(backup, 'utf8')
  const current = readFileSync(join(root, 'package.json'), 'utf8')
  if (current !== kept && current !== publishedText(kept)) {
    throw new Error(`package.json was edited while it was packed. Merge it with ${BACKUP} by hand, then remove ${BACKUP}.`)
  }
  if (current === kept) rmSync(backup)
  else renameSync(backup, join(root, 'package.json'))
  return true
}
