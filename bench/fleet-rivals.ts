/** What a run over many tenants is held against. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Migrator } from '@mikro-orm/migrations'
import { MikroORM } from '@mikro-orm/postgresql'
import { escapeIdentifier } from 'pg'
import type { TenantRecord } from 'mikro-tenantkit'
import { query, withClient } from './harness/place.ts'

/** The migration that all sides send: a column and an index. */
export function changeSql(column: string): readonly string[] {
  return [`alter table "item" add column "${column}" int null`, `create index "item_${column}" on "item" ("${column}")`]
}

/** Statements of as many schemas are sent in one message. */
const BATCH = 50

/**
 * What one would write by hand: as many connections, one message for each tenant, with the same bookkeeping. Its tracking table is one of its
 * own: rows that this framework does not know would make it take the long way.
 */
export class HandLoop {
  readonly #url: string
  readonly #concurrency: number
  #round = 0

  private constructor(url: string, concurrency: number) {
    this.#url = url
    this.#concurrency = concurrency
  }

  static async make(url: string, concurrency: number, tenants: readonly TenantRecord[]): Promise<HandLoop> {
    for (let begin = 0; begin < tenants.length; begin += BATCH) {
      const schemas = tenants.slice(begin, begin + BATCH).map(({ ref }) => escapeIdentifier(ref.schema))
      await query(
        url,
        schemas.map(schema => `create table ${schema}.by_hand (like ${schema}.tenantkit_migration including all)`).join(';\n'),
      )
    }
    return new HandLoop(url, concurrency)
  }

  async migrate(tenants: readonly TenantRecord[]): Promise<void> {
    const name = `by_hand_${this.#round++}`
    const body = [`insert into by_hand ("name") values ('${name}')`, ...changeSql(name)].join(';\n')
    const queue = tenants.values()
    const lane = (): Promise<void> =>
      withClient(this.#url, async client => {
        for (const { ref } of queue) {
          const update = `update public.tenantkit_tenant set metadata = '{"at": "${name}"}' where id = '${ref.id}'`
          await client.query(`set local search_path to ${escapeIdentifier(ref.schema)};\n${body};\n${update}`)
        }
      })
    await Promise.all(Array.from({ length: this.#concurrency }, lane))
  }
}

/**
 * MikroORM's own migrator, one schema after the other, as its documentation shows it: one ORM, migrations in files, \`up({ schema })\` for each
 * tenant. It is spared what it need not do: its tracking tables are there already, and it writes no snapshot (by default it would describe all
 * schemas of the database after each tenant, which takes minutes for one).
 */
export class StockMigrator {
  readonly #orm: MikroORM
  readonly #folder: string
  #round = 0

  private constructor(orm: MikroORM, folder: string) {
    this.#orm = orm
    this.#folder = folder
  }

  static async make(url: string, tenants: readonly TenantRecord[]): Promise<StockMigrator> {
    const scratch = join(import.meta.dirname, '.scratch')
    await mkdir(scratch, { recursive: true })
    const folder = await mkdtemp(join(scratch, 'stock-'))
    const orm = await MikroORM.init({
      clientUrl: url,
      entities: [],
      contextName: 'stock',
      discovery: { warnWhenNoEntities: false },
      extensions: [Migrator],
      migrations: { path: folder, pathTs: folder, tableName: 'stock_migration', snapshot: false, silent: true },
    })
    const made = new StockMigrator(orm, folder)
    await made.#up('select 1', tenants)
    return made
  }

  /** A new file; answers what applies it. */
  async prepare(): Promise<(tenants: readonly TenantRecord[]) => Promise<void>> {
    await this.#write(...changeSql(`stock_${this.#round}`))
    return tenants => this.#apply(tenants)
  }

  async close(): Promise<void> {
    await this.#orm.close(true)
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #up(sql: string, tenants: readonly TenantRecord[]): Promise<void> {
    await this.#write(sql)
    await this.#apply(tenants)
  }

  async #write(...statements: readonly string[]): Promise<void> {
    const body = statements.map(sql => `    this.addSql(${JSON.stringify(sql)})`).join('\n')
    const text = `import { Migration } from '@mikro-orm/migrations'\n\nexport class Stock extends Migration {\n  override up(): void {\n${body}\n  }\n}\n`
    await writeFile(join(this.#folder, `Migration${String(this.#round++).padStart(14, '0')}.ts`), text)
  }

  async #apply(tenants: readonly TenantRecord[]): Promise<void> {
    const migrator = new Migrator(this.#orm.em)
    for (const { ref } of tenants) {
      const applied = await migrator.up({ schema: ref.schema })
      if (applied.length !== 1) throw new Error(`${applied.length} migrations were applied by the stock migrator`)
    }
  }
}
