/**
 * A mutant: the framework with one guard taken out, by changing the text of a module as it is loaded. Nothing on disk changes.
 *
 * A text that does not stand in the module exactly once is an error: a mutant must never survive because it changes nothing.
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const SOURCES = join(import.meta.dirname, '..', '..', 'src')

/** One change of one module, by its path under `src`. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

export interface Mutant extends Edit {
  readonly name: string
  /** More changes that belong to the same guard. */
  readonly also?: readonly Edit[]
  /** Mutants whose guards are taken out as well: alone this one survives, because they hold. */
  readonly with?: readonly string[]
  /** What the finding must say. Where two guards cover each other, it tells what neither refuses from what one of them would have. */
  readonly finds?: string
  /** Which probes alone try it. Default: the interleaving, which does nothing that those are about, and then all probes. */
  readonly probes?: 'context'
  /** Whether it is tried in strict mode, by the probes of that alone. */
  readonly strict?: true
}

/** Every change of a mutant, by module. @throws when there is nothing to patch */
export function editsOf(mutant: Mutant, all: readonly Mutant[]): ReadonlyMap<string, string> {
  const partners = (mutant.with ?? []).map(name => {
    const partner = all.find(each => each.name === name)
    if (partner === undefined) throw new Error(`mutant ${mutant.name}: there is no mutant ${name}`)
    return partner
  })
  const texts = new Map<string, string>()
  for (const { file, find, replace } of [mutant, ...partners].flatMap(each => [each, ...(each.also ?? [])])) {
    const path = join(SOURCES, file)
    const text = texts.get(path) ?? readFileSync(path, 'utf8')
    if (text.split(find).length !== 2) throw new Error(`mutant ${mutant.name}: nothing to patch in src/${file}: ${JSON.stringify(find)}`)
    texts.set(
      path,
      text.replace(find, () => replace),
    )
  }
  return texts
}

/** Loads the changed text instead of what stands on disk, for every import from now on. */
export function install(edits: ReadonlyMap<string, string>): void {
  const byUrl = new Map([...edits].map(([path, text]) => [pathToFileURL(path).href, text]))
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const text = byUrl.get(url)
      if (text === undefined) return loaded
      if (!fileURLToPath(url).startsWith(SOURCES)) throw new Error(`${url} is none of the sources`)
      return { ...loaded, source: text }
    },
  })
}
