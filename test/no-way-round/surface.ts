/** The public methods and accessors that MikroORM's and Kysely's type declarations give to a class, its parents' included. */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'oxc-parser'

/** A class in a declaration file: the package's folder and the path in it. */
export interface DeclaredClass {
  readonly file: string
  readonly name: string
}

interface Node {
  readonly type: string
  readonly [key: string]: unknown
}
interface Member extends Node {
  readonly static?: boolean
  readonly computed?: boolean
  readonly accessibility?: 'private' | 'protected' | 'public' | null
  readonly key: Node & { readonly name?: string; readonly start: number; readonly end: number }
}

const folders: Readonly<Record<string, string>> = {
  core: packageFolder('@mikro-orm/core'),
  sql: packageFolder('@mikro-orm/sql'),
  postgresql: packageFolder('@mikro-orm/postgresql'),
  // Kysely as MikroORM sees it.
  kysely: dirname(createRequire(import.meta.resolve('@mikro-orm/sql')).resolve('kysely')),
}

function packageFolder(name: string): string {
  return dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`)))
}

/** The names of the methods and accessors of classes; those of the constructor begin with `static `. */
export function surfaceOf(classes: readonly DeclaredClass[]): string[] {
  const names = new Set<string>()
  for (const { file, name } of classes) {
    const [room, ...path] = file.split('/')
    for (const member of membersOf(readFileSync(join(folders[room!]!, ...path), 'utf8'), name)) names.add(member)
  }
  return [...names].toSorted()
}

/** The public methods and accessors of one class in the text of a declaration file. */
export function membersOf(text: string, name: string): string[] {
  const { program, errors } = parseSync('declarations.d.ts', text, { lang: 'dts' })
  if (errors.length > 0) throw new Error(`The declarations of ${name} cannot be read: ${errors[0]!.message}`)
  const found = findClass(program as unknown as Node, name)
  if (found === undefined) throw new Error(`The declarations have no class ${name} any more.`)
  const { body } = found['body'] as { body: Member[] }
  return body.filter(isPublicMethod).map(member => `${member.static === true ? 'static ' : ''}${nameOf(member, text)}`)
}

/** The parent that a class of a declaration file extends, by name. */
export function parentOf({ file, name }: DeclaredClass): string | undefined {
  const [room, ...path] = file.split('/')
  const { program } = parseSync('declarations.d.ts', readFileSync(join(folders[room!]!, ...path), 'utf8'), { lang: 'dts' })
  const parent = findClass(program as unknown as Node, name)?.['superClass'] as { name?: string } | null | undefined
  return parent?.name
}

export function isDeclared({ file }: DeclaredClass): boolean {
  const [room, ...path] = file.split('/')
  return existsSync(join(folders[room!]!, ...path))
}

function findClass(node: Node, name: string): Node | undefined {
  for (const statement of (node['body'] as Node[]) ?? []) {
    const declared = (statement['declaration'] as Node | null | undefined) ?? statement
    if (declared.type === 'ClassDeclaration' && (declared['id'] as { name: string }).name === name) return declared
  }
  return undefined
}

function isPublicMethod(member: Member): boolean {
  if (member.accessibility === 'private' || member.accessibility === 'protected') return false
  if (member.type !== 'MethodDefinition' && member.type !== 'TSAbstractMethodDefinition') return false
  return member['kind'] !== 'constructor' && member.key.type !== 'PrivateIdentifier'
}

function nameOf(member: Member, text: string): string {
  const written = text.slice(member.key.start, member.key.end)
  return member.computed === true ? `[${written}]` : written
}
