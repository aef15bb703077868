/** MikroORM's migrator, as far as the stock command line and `createFile` use it: it writes files itself and leaves running to the runner. */
import { DatabaseSchema } from '@mikro-orm/sql'
import { ConfigurationError, ValidationFailedError } from '../errors.ts'
import {
  BaseMigrator,
  type CreatedMigration,
  type Extension,
  type ExtensionHost,
  type MigrateOptions,
  type MigrationInfo,
  type MigrationRow,
  type MigratorInternals,
} from './internals.ts'
import type { MigrationSet } from './migration-set.ts'
import { schemaGeneratorOf } from './schema-generator.ts'

/** What the commands of the stock command line that touch a database work on: one target, or many. */
export interface Fleet {
  up(options: MigrateOptions): Promise<readonly string[]>
  down(options: MigrateOptions): Promise<readonly string[]>
  pending(): Promise<readonly string[]>
  executed(): Promise<readonly MigrationRow[]>
  mark(name: string, applied: boolean): Promise<void>
}

const NAME = /^[A-Za-z][\w -]{0,79}$/

/**
 * The migrator of one set. MikroORM replaces an extension whose class has any other name than `Migrator` by its own, without a word.
 */
export function migratorClass(set: MigrationSet, fleet?: Fleet): Extension {
  return class Migrator extends BaseMigrator {
    #keepSnapshot = false

    static register(orm: ExtensionHost): void {
      orm.config.registerExtension('@mikro-orm/migrator', () => new Migrator(orm.em))
    }

    /**
     * Writes the next file from the difference between the snapshot and the entities. Needs no database.
     *
     * @throws VALIDATION_FAILED for a name that fits no file, CONFIGURATION_INVALID if there are files and no snapshot.
     */
    override async create(path?: string, blank = false, _initial = false, name?: string): Promise<CreatedMigration> {
      if (name !== undefined && name !== '' && !NAME.test(name)) {
        throw new ValidationFailedError([
          { path: 'name', message: 'must begin with a letter and hold at most 80 letters, digits, spaces, - and _' },
        ])
      }
      if (path !== undefined)
        throw new ConfigurationError(['--path is not supported: migrations lie in the folders that the configuration names.'])
      await this.#refuseLostSnapshot()
      // An empty file says nothing of the entities: what changed in them must stay to be found.
      this.#keepSnapshot = blank
      return super.create(undefined, blank, false, name)
    }

    /** What `create` would write; nothing is. @throws CONFIGURATION_INVALID if there are files and no snapshot. */
    override async getSchemaDiff(blank: boolean, initial: boolean): Promise<{ up: string[]; down: string[] }> {
      await this.#refuseLostSnapshot()
      return super.getSchemaDiff(blank, initial)
    }

    override createInitial(_path?: string, name?: string, blank?: boolean): Promise<CreatedMigration> {
      return this.create(undefined, blank, false, name)
    }

    override async checkSchema(): Promise<boolean> {
      await this.#refuseLostSnapshot()
      return super.checkSchema()
    }

    /** Where there is no snapshot there were no migrations: the difference is to nothing, not to some database. */
    override async getSchemaFromSnapshot(): Promise<DatabaseSchema> {
      const stored = await super.getSchemaFromSnapshot()
      if (stored !== undefined) return stored
      const target = schemaGeneratorOf(this).getTargetSchema()
      const nothing = new DatabaseSchema(this.em.getPlatform() as never, target.name)
      nothing.setNamespaces(new Set(target.getNamespaces()))
      return nothing
    }

    override async storeCurrentSchema(schema?: DatabaseSchema): Promise<void> {
      if (!this.#keepSnapshot) await super.storeCurrentSchema(schema)
    }

    override async up(options?: string | readonly string[] | MigrateOptions): Promise<MigrationInfo[]> {
      return infos(await this.#fleet().up(normalized(options)))
    }

    override async down(options?: string | readonly string[] | MigrateOptions): Promise<MigrationInfo[]> {
      return infos(await this.#fleet().down(normalized(options)))
    }

    override async getPending(): Promise<MigrationInfo[]> {
      return infos(await this.#fleet().pending())
    }

    override async getExecuted(): Promise<MigrationRow[]> {
      return [...(await this.#fleet().executed())]
    }

    override logMigration(name: string): Promise<void> {
      return this.#fleet().mark(bare(name), true)
    }

    override unlogMigration(name: string): Promise<void> {
      return this.#fleet().mark(bare(name), false)
    }

    override rollup(): Promise<CreatedMigration> {
      return Promise.reject(new ConfigurationError(['migration:rollup is not supported: every tenant has recorded the single files.']))
    }

    #fleet(): Fleet {
      if (fleet === undefined) throw new ConfigurationError(['This ORM only writes migration files; run them with Migrations.'])
      return fleet
    }

    async #refuseLostSnapshot(): Promise<void> {
      if ((await this.hasSnapshot()) || (await set.applicationNames()).length === 0) return
      throw new ConfigurationError(
        [`There are ${set.plane} migrations, and their snapshot .snapshot.json is missing: everything would be written again.`],
        'Restore it from version control; it belongs beside the migrations.',
      )
    }
  }
}

/** The migrator of an ORM. */
export function migratorOf(orm: { readonly config: { getExtension(name: string): unknown } }): MigratorInternals {
  return orm.config.getExtension('@mikro-orm/migrator') as MigratorInternals
}

function normalized(options: string | readonly string[] | MigrateOptions = {}): MigrateOptions {
  if (typeof options === 'string') return { migrations: [bare(options)] }
  if (isList(options)) return { migrations: options.map(bare) }
  const { schema, from, to, migrations } = options
  return {
    ...(schema === undefined ? {} : { schema }),
    ...(from === undefined ? {} : { from: bare(String(from)) }),
    ...(to === undefined ? {} : { to: bare(String(to)) }),
    ...(migrations === undefined ? {} : { migrations: migrations.map(bare) }),
  }
}

function isList(options: readonly string[] | MigrateOptions): options is readonly string[] {
  return Array.isArray(options)
}

function bare(name: string): string {
  return name.replace(/\.[cm]?[jt]s$/, '')
}

function infos(names: readonly string[]): MigrationInfo[] {
  return names.map(name => ({ name }))
}
