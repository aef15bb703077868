/**
 * The checks behind `test/architecture.test.ts`: pure functions over a map of files, so that each can be tried on planted violations.
 *
 * A type import counts for floors, not for rings: only what Node loads can form a ring. `import { type A } from './a.ts'` is a run-time
 * import, since stripping leaves `import { } from './a.ts'`.
 */
import { posix } from 'node:path'
import { parseSync } from 'oxc-parser'

/** A room of the house: what it may import is named, everything else is refused. */
export interface Room {
  readonly room: string
  readonly floor: number
  /** Files, or folders with `/` at the end. */
  readonly paths: readonly string[]
  readonly mayImport: readonly string[]
  /** Rooms of which only types may be imported; here the floor does not count. */
  readonly mayImportTypes?: readonly string[]
  readonly outside?: readonly string[]
  /** Packages of which only types may be imported. */
  readonly outsideTypes?: readonly string[]
}

/** Files by their path from the repository's root, with `/`. */
export type Files = ReadonlyMap<string, string>

interface Import {
  /** As written. */
  readonly specifier: string
  /** The path in the repository, for a relative import. */
  readonly file: string | undefined
  readonly typeOnly: boolean
}

/** The part of a syntax node that is read here. */
interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

interface Module {
  readonly path: string
  readonly text: string
  readonly body: readonly Node[]
  readonly comments: readonly { readonly type: string; readonly value: string; readonly start: number; readonly end: number }[]
  readonly imports: readonly Import[]
  /** Where the keyword `any` stands, as line numbers. */
  readonly anys: readonly number[]
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
const nodes = (value: unknown): readonly Node[] => (Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : [])
const nameOf = (value: unknown): string | undefined =>
  isNode(value) ? ((value['name'] ?? value['value']) as string | undefined) : undefined

function* walk(node: Node): Generator<Node> {
  yield node
  for (const value of Object.values(node)) for (const child of nodes(value)) yield* walk(child)
}

/** Parses the files. Throws on a syntax error. */
export function parse(files: Files): ReadonlyMap<string, Module> {
  const modules = new Map<string, Module>()
  for (const [path, text] of files) {
    const { program, comments, errors } = parseSync(path, text)
    if (errors.length > 0) throw new SyntaxError(`${path}: ${errors[0]?.message}`)
    const all = [...walk(program as unknown as Node)]
    const imports = all.flatMap((node): Import[] => {
      const found = importOf(node)
      if (!found) return []
      const { specifier } = found
      return [{ ...found, file: /^\.\.?\//.test(specifier) ? posix.join(posix.dirname(path), specifier) : undefined }]
    })
    const anys = all.filter(node => node.type === 'TSAnyKeyword').map(node => text.slice(0, node.start).split('\n').length)
    modules.set(path, { path, text, body: program.body as unknown as Node[], comments, imports, anys })
  }
  return modules
}

function importOf(node: Node): Omit<Import, 'file'> | undefined {
  const source = nodes(node['source'])[0]
  const specifier = source?.['value']
  if (source?.type !== 'Literal' || typeof specifier !== 'string') return undefined
  if (node.type === 'ImportDeclaration') return { specifier, typeOnly: node['importKind'] === 'type' }
  if (node.type === 'ExportNamedDeclaration' || node.type === 'ExportAllDeclaration')
    return { specifier, typeOnly: node['exportKind'] === 'type' }
  if (node.type === 'ImportExpression') return { specifier, typeOnly: false }
  return node.type === 'TSImportType' ? { specifier, typeOnly: true } : undefined
}

const roomOf = (house: readonly Room[], path: string): Room | undefined =>
  house
    .flatMap(room => room.paths.map(prefix => ({ room, prefix })))
    .filter(({ prefix }) => (prefix.endsWith('/') ? path.startsWith(prefix) : path === prefix))
    .sort((a, b) => b.prefix.length - a.prefix.length)[0]?.room

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

/** The table itself: known rooms, each once, and only lower floors. */
export function checkTable(house: readonly Room[]): string[] {
  const floors = new Map(house.map(({ room, floor }) => [room, floor]))
  const problems = floors.size === house.length ? [] : ['a room is named twice']
  for (const { room, floor, mayImport, mayImportTypes = [] } of house) {
    for (const other of [...mayImport, ...mayImportTypes]) if (!floors.has(other)) problems.push(`${room} names the unknown room ${other}`)
    for (const other of mayImport) {
      if ((floors.get(other) ?? -1) >= floor)
        problems.push(`${room} (floor ${floor}) may not be allowed ${other} (floor ${floors.get(other)})`)
    }
  }
  return problems
}

/** Every file stands in a room and imports only its own room and the rooms named for it. */
export function checkRooms(house: readonly Room[], files: Files): string[] {
  const problems: string[] = []
  for (const { path, imports } of parse(files).values()) {
    const here = roomOf(house, path)
    if (!here) {
      problems.push(`${path} stands in no room`)
      continue
    }
    for (const { specifier, file, typeOnly } of imports) {
      if (!file) continue
      const there = roomOf(house, file)
      if (!there) problems.push(`${path} imports ${specifier}, which stands in no room`)
      else if (there !== here && !here.mayImport.includes(there.room) && !(typeOnly && here.mayImportTypes?.includes(there.room))) {
        const direction = there.floor > here.floor ? 'upward' : there.floor === here.floor ? 'sideways' : 'not allowed'
        problems.push(`${path}: ${here.room} may not import ${there.room} (${specifier}, ${direction})`)
      }
    }
  }
  return problems
}

/** Which room may import which package, and which built-in modules are for some rooms only. */
export function checkOutside(house: readonly Room[], files: Files, restricted: Readonly<Record<string, readonly string[]>> = {}): string[] {
  const problems: string[] = []
  for (const { path, imports } of parse(files).values()) {
    const here = roomOf(house, path)
    for (const { specifier, file, typeOnly } of imports) {
      if (file || !here) continue
      if (specifier.startsWith('node:')) {
        if (!typeOnly && restricted[specifier]?.includes(here.room) === false)
          problems.push(`${path}: ${here.room} may not import ${specifier}`)
        continue
      }
      const name = packageOf(specifier)
      if (here.outside?.includes(name) || (typeOnly && here.outsideTypes?.includes(name))) continue
      const hint = here.outsideTypes?.includes(name) ? ', only its types' : ''
      problems.push(`${path}: ${here.room} may not import ${specifier}${hint}`)
    }
  }
  return problems
}

/** Packages that only one file may import. */
export function checkSingleDoor(files: Files, packages: readonly string[]): string[] {
  const modules = [...parse(files).values()]
  return packages.flatMap(name => {
    const doors = modules
      .filter(({ imports }) => imports.some(each => !each.file && packageOf(each.specifier) === name))
      .map(({ path }) => path)
    return doors.length > 1 ? [`${name} is imported by ${doors.join(', ')}; one file may`] : []
  })
}

/** Every imported package is declared: what comes only with another package can be gone tomorrow. */
export function checkDeclared(files: Files, declared: readonly string[]): string[] {
  return [...parse(files).values()].flatMap(({ path, imports }) =>
    imports
      .filter(({ specifier, file }) => !file && !specifier.startsWith('node:') && !declared.includes(packageOf(specifier)))
      .map(({ specifier }) => `${path} imports ${specifier}, which package.json does not declare`),
  )
}

/** Rings of files at run time: type imports do not count. */
export function checkRings(files: Files): string[] {
  const modules = parse(files)
  const done = new Set<string>()
  const rings: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const from = trail.indexOf(path)
    if (from >= 0) rings.push([...trail.slice(from), path].join(' -> '))
    if (from >= 0 || done.has(path)) return
    for (const { file, typeOnly } of modules.get(path)?.imports ?? []) if (file && !typeOnly) visit(file, [...trail, path])
    done.add(path)
  }
  for (const path of modules.keys()) visit(path, [])
  return rings
}

/** A public name in the package's own sources, or its index: both are for users. */
export function checkIndexUnused(files: Files, index: string, name: string): string[] {
  return [...parse(files).values()].flatMap(({ path, imports }) =>
    imports
      .filter(({ specifier, file }) => file === index || (!file && packageOf(specifier) === name))
      .map(({ specifier }) => `${path} imports ${specifier}, which is for users`),
  )
}

/** The limit counts blanks and comments. */
export function checkBudget(files: Files, limit: number): string[] {
  return [...files].flatMap(([path, text]) => {
    const lines = text.replace(/\n$/, '').split('\n').length
    return lines > limit ? [`${path} has ${lines} lines, ${limit} are allowed`] : []
  })
}

export function checkDefaultExports(files: Files, exceptions: readonly string[]): string[] {
  return [...parse(files).values()].flatMap(({ path, body }) => {
    if (exceptions.some(each => (each.endsWith('/') ? path.startsWith(each) : path === each))) return []
    const isDefault = (node: Node): boolean =>
      node.type === 'ExportDefaultDeclaration' || nodes(node['specifiers']).some(each => nameOf(each['exported']) === 'default')
    return body.some(isDefault) ? [`${path} has a default export`] : []
  })
}

/** The keyword `any`, outside the folders that are allowed it. */
export function checkAny(files: Files, allowed: readonly string[]): string[] {
  return [...parse(files).values()]
    .filter(({ path }) => !allowed.some(prefix => path.startsWith(prefix)))
    .flatMap(({ path, anys }) => anys.map(line => `${path}:${line} says any`))
}

/** Open ends in comments. */
export function checkOpenEnds(files: Files): string[] {
  return [...parse(files).values()].flatMap(({ path, comments }) =>
    comments.flatMap(({ value }) => (/\b(TODO|FIXME)\b/.exec(value) ?? []).slice(0, 1).map(word => `${path} holds a ${word}`)),
  )
}

/** Every name that an index exports has a docstring where it is declared; `export *` hides names and is refused. */
export function checkDocs(files: Files, index: string): string[] {
  const modules = parse(files)
  const entry = modules.get(index)
  if (!entry) return []
  const problems: string[] = []
  for (const node of entry.body) {
    if (node.type === 'ExportAllDeclaration' && !node['exported']) problems.push(`${index}: export * hides its names`)
    for (const name of exportedNames(node)) if (!isDocumented(modules, index, name)) problems.push(`${index}: ${name} has no docstring`)
  }
  return problems
}

const exportedNames = (node: Node): string[] =>
  node.type === 'ExportNamedDeclaration'
    ? [...nodes(node['specifiers']).map(each => nameOf(each['exported']) ?? ''), ...nodes(node['declaration']).flatMap(declaredNames)]
    : []

const declaredNames = (node: Node): string[] =>
  node.type === 'VariableDeclaration' ? nodes(node['declarations']).map(each => nameOf(each['id']) ?? '') : [nameOf(node['id']) ?? '']

/** Follows re-exports to the declaration. What another package declares is that package's to document. */
function isDocumented(modules: ReadonlyMap<string, Module>, path: string, name: string): boolean {
  const module = modules.get(path)
  if (!module) return false
  const follow = (source: unknown, local: string | undefined): boolean => {
    const specifier = nameOf(source) ?? ''
    return !specifier.startsWith('.') || isDocumented(modules, posix.join(posix.dirname(path), specifier), local ?? name)
  }
  const hasDoc = (node: Node): boolean =>
    module.comments.some(
      ({ type, value, end }) =>
        type === 'Block' && value.startsWith('*') && end <= node.start && module.text.slice(end, node.start).trim() === '',
    )
  for (const node of module.body) {
    const declaration = nodes(node['declaration'])[0] ?? node
    if (declaredNames(declaration).includes(name) && node.type !== 'ImportDeclaration') {
      if (hasDoc(node)) return true
      continue
    }
    for (const each of nodes(node['specifiers'])) {
      if (node.type === 'ExportNamedDeclaration' && nameOf(each['exported']) === name) {
        if (node['source']) return follow(node['source'], nameOf(each['local']))
        if (nameOf(each['local']) !== name) return isDocumented(modules, path, nameOf(each['local']) ?? '')
      }
      if (node.type === 'ImportDeclaration' && nameOf(each['local']) === name) return follow(node['source'], nameOf(each['imported']))
    }
  }
  return false
}
