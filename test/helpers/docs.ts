/** Reads the documentation: pages, code blocks, tables, links, words in code style. */
import { globSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'

export const ROOT = resolve(import.meta.dirname, '../..')

/** A page, and what stands on it. */
export interface Page {
  /** Below the root: `docs/auth.md`. */
  readonly path: string
  /** Without folder and ending: `auth`. */
  readonly name: string
  readonly text: string
  readonly blocks: readonly Block[]
  /** The text without its code blocks. */
  readonly prose: string
}

/** A fenced block of code. */
export interface Block {
  /** What stands behind the fence: `ts`, `ts run`, `sh`. */
  readonly info: string
  readonly code: string
  /** The line of the fence, from 1. */
  readonly line: number
}

const FENCE = /^```([^\n]*)\n([\s\S]*?)^```$/gm

/** README.md and the pages in docs/, by path. */
export function readPages(): readonly Page[] {
  return ['README.md', ...globSync('docs/*.md', { cwd: ROOT }).toSorted()].map(path => {
    const text = readFileSync(join(ROOT, path), 'utf8')
    const blocks = [...text.matchAll(FENCE)].map(({ 1: info = '', 2: code = '', index }) => ({
      info,
      code,
      line: text.slice(0, index).split('\n').length,
    }))
    return { path, name: basename(path, '.md').toLowerCase(), text, blocks, prose: text.replace(FENCE, '') }
  })
}

/** The name of a block's file: that of a first line `// file: app.ts`, else one by its line. */
export function fileOf(block: Block): string {
  return /^\/\/ file: (\S+)\n/.exec(block.code)?.[1] ?? `line-${block.line}.ts`
}

/** The rows of the table behind `<!-- marker -->`, without the heading; cells are trimmed. */
export function tableOf(page: Page, marker: string): readonly (readonly string[])[] {
  const after = page.text.split(`<!-- ${marker} -->\n`)
  if (after.length !== 2) throw new Error(`${page.path} has not exactly one marker <!-- ${marker} -->`)
  const lines = after[1]!.trimStart().split('\n')
  const end = lines.findIndex(line => !line.startsWith('|'))
  return lines.slice(2, end === -1 ? undefined : end).map(line =>
    line
      .slice(1, line.lastIndexOf('|'))
      .split(/(?<!\\)\|/)
      .map(cell => cell.trim()),
  )
}

/** All markers that begin with this word: what stands behind it. */
export function markersOf(page: Page, word: string): readonly string[] {
  return [...page.text.matchAll(new RegExp(`<!-- (${word} [^>]*?) -->`, 'g'))].map(([, marker]) => marker!)
}

/** What stands in code style in the prose, comments left out. */
export function wordsOf(page: Page): readonly string[] {
  return [...page.prose.replace(/<!--[\s\S]*?-->/g, '').matchAll(/`([^`\n]+)`/g)].map(([, word]) => word!)
}

/** The text without the backticks of code style. */
export function plain(cell: string): string {
  return cell.replaceAll('`', '').replaceAll('\\|', '|')
}

/** The targets of links and pictures. */
export function linksOf(page: Page): readonly string[] {
  return [...page.prose.matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g)].map(([, link, source]) => (link ?? source)!)
}

/** The anchors of a page's headings, as forges make them. */
export function anchorsOf(page: Page): readonly string[] {
  return [...page.prose.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

/** The members of an exported interface of the sources; `path` tells two of one name apart. */
export function membersOf(name: string, path = 'src/**/*.ts'): readonly string[] {
  const pattern = new RegExp(`^export interface ${name}\\b[^{]*\\{\\n([\\s\\S]*?)^\\}`, 'm')
  const bodies = globSync(path, { cwd: ROOT }).flatMap(file => pattern.exec(readFileSync(join(ROOT, file), 'utf8'))?.[1] ?? [])
  if (bodies.length !== 1) throw new Error(`The sources have ${bodies.length} interfaces ${name}, and not one.`)
  return [...bodies[0]!.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, member]) => member!)
}
