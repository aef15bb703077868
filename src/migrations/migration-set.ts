/**
 * One set of migrations: the framework's own, then the application's files, each group in the order of its names.
 */
import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Migration } from '@mikro-orm/migrations'
import type { Plane } from '../classification/scope.ts'
import type { Isolation } from '../context/context.ts'
import { ConfigurationError } from '../errors.ts'
import type { MigrationClass } from './internals.ts'
import { SharedMigration, TenantMigration, declarationsOf, placeMigration } from './migration.ts'
import { BUNDLED } from './registry-migrations.ts'

const SCRIPT = /^(?!.*\.d\.)(.+)\.(?:ts|js|mts|mjs)$/

/** A migration with the name it is recorded under: that of its file, without the extension. */
export interface NamedMigration {
  readonly name: string
  readonly migration: MigrationClass
}

/** What a migration would do. */
export interface CollectedMigration {
  readonly name: string
  /** Its statements, or `undefined` if it is code that must be run to know, or runs in no transaction. */
  readonly statements: readonly string[] | undefined
  /** Its statements, those of one that runs in no transaction as well. */
  readonly shown: readonly string[] | undefined
  readonly transactional: boolean
  /** Declared: the tenant may be used meanwhile. */
  readonly online: boolean
  /** Declared: it is meant that data goes. */
  readonly destructive: boolean
}

export class MigrationSet {
  readonly plane: Plane
  /** The folder of the application's files. It need not exist. */
  readonly folder: string

  /** @param path the folder that holds `shared/` and `tenant/`, absolute or relative to the working directory. */
  constructor(plane: Plane, path: string) {
    this.plane = plane
    this.folder = join(resolve(path), plane)
  }

  /** The names, in the order in which the migrations run. Reads the folder; the files are not loaded. */
  async names(): Promise<readonly string[]> {
    return [...BUNDLED[this.plane].map(({ name }) => name), ...(await this.#files()).map(({ name }) => name)]
  }

  /** The names of the application's own files. */
  async applicationNames(): Promise<readonly string[]> {
    return (await this.#files()).map(({ name }) => name)
  }

  /** The path of a file of this set. */
  fileOf(file: string): string {
    return join(this.folder, file)
  }

  /**
   * The migrations, in the order in which they run.
   *
   * @throws CONFIGURATION_INVALID if a file holds no migration, several, or one of the other set.
   */
  async load(): Promise<readonly NamedMigration[]> {
    const files = await this.#files()
    return [...BUNDLED[this.plane], ...(await Promise.all(files.map(({ name, file }) => this.#loadFile(name, file))))]
  }

  async #files(): Promise<readonly { readonly name: string; readonly file: string }[]> {
    const found = await readdir(this.folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    const files = found.flatMap(file => {
      const name = SCRIPT.exec(file)?.[1]
      return name === undefined ? [] : [{ name, file }]
    })
    const taken = new Set(BUNDLED[this.plane].map(({ name }) => name))
    for (const { name, file } of files) {
      if (taken.has(name))
        throw new ConfigurationError([`The ${this.plane} migrations hold ${name} twice (${file}).`], 'Remove one of the two.')
      taken.add(name)
    }
    return files.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  async #loadFile(name: string, file: string): Promise<NamedMigration> {
    const exported = (await import(pathToFileURL(join(this.folder, file)).href)) as Record<string, unknown>
    const classes = [...new Set(Object.values(exported))].filter(isMigrationClass)
    const [migration] = classes
    if (migration === undefined || classes.length > 1) {
      throw new ConfigurationError([
        `${file} in the ${this.plane} migrations must export one migration class; it exports ${classes.length}.`,
      ])
    }
    const other = this.plane === 'shared' ? TenantMigration : SharedMigration
    if (migration.prototype instanceof other) {
      throw new ConfigurationError(
        [`${file} extends ${other.name} and lies among the ${this.plane} migrations.`],
        'Move it to the other folder.',
      )
    }
    return { name, migration }
  }
}

function isMigrationClass(value: unknown): value is MigrationClass {
  return typeof value === 'function' && value.prototype instanceof Migration
}

/** Thrown by the recording driver where a migration asks for the database. */
class NeedsDatabase extends Error {}

/** Formats what `addSql` takes besides text. */
export type FormatQuery = (query: unknown) => string

/**
 * Runs `up` of each migration without a database, in order, and answers the statements. A migration that asks for a connection, or that
 * does not run in a transaction, is code.
 */
export async function collect(
  migrations: readonly NamedMigration[],
  isolation: Isolation,
  format: FormatQuery,
): Promise<CollectedMigration[]> {
  const collected: CollectedMigration[] = []
  for (const { name, migration } of migrations) collected.push({ name, ...(await statementsOf(migration, isolation, format)) })
  return collected
}

async function statementsOf(
  migration: MigrationClass,
  isolation: Isolation,
  format: FormatQuery,
): Promise<Omit<CollectedMigration, 'name'>> {
  let asked = false
  const recorder = new Proxy(
    {},
    {
      get: () => {
        asked = true
        throw new NeedsDatabase()
      },
    },
  )
  const instance = new migration(recorder, recorder)
  placeMigration(instance, { schema: 'tenant', isolation })
  const transactional = instance.isTransactional()
  try {
    await instance.up()
  } catch (error) {
    if (!asked) throw error
  }
  // Also where the migration caught the refusal itself.
  const queries = asked ? undefined : instance.getQueries()
  const shown = queries?.map(query => bare(format(query))).filter(sql => sql !== '')
  return { statements: transactional ? shown : undefined, shown, transactional, ...declarationsOf(instance) }
}

/** A statement that can be joined to others by `;`. */
function bare(sql: string): string {
  const text = sql.replace(/[\s;]+$/, '').trim()
  return text.slice(text.lastIndexOf('\n') + 1).includes('--') ? `${text}\n` : text
}
