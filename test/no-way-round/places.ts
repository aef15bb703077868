/** Where rows stand: in four tenants of both isolations, and in trap tables wherever a wrong fallback would lead. */
import { Client } from 'pg'
import type { TestTenancy } from '../helpers/tenancy.ts'
import { databaseUrl } from '../helpers/postgres.ts'
import { tables } from './entities.ts'

export type Slug = 'acme' | 'initech' | 'globex' | 'hooli'

export const slugs = ['acme', 'initech', 'globex', 'hooli'] as const
/** Each isolation's tenant under test. */
export const underTest = { schema: 'acme', database: 'globex' } as const
/** Pairs of tenants: of one isolation, and of both. */
export const pairs = [
  ['acme', 'initech'],
  ['acme', 'globex'],
  ['globex', 'acme'],
  ['globex', 'hooli'],
] as const

const TRAPS = ['public', '__no_tenant__']
const WHEN = `'2026-01-01', 'seed', '2026-01-01', 'seed'`
const AUDIT = 'created_at, created_by, updated_at, updated_by'

/** The rows of one schema of one database, by table, as text. */
export type Rows = Readonly<Record<string, string>>

/** The tables of a kit's tenants and the traps, for plain SQL on connections of their own. */
export class Places {
  readonly #kit: TestTenancy
  readonly #clients = new Map<string, Client>()
  readonly #seeded = new Map<string, string>()

  constructor(kit: TestTenancy) {
    this.#kit = kit
  }

  /** Makes the traps and fills everything. */
  async open(): Promise<void> {
    for (const slug of ['acme', 'globex', 'hooli'] as const) {
      const database = this.databaseOf(slug)
      const client = new Client({ connectionString: databaseUrl(database), application_name: 'no way round' })
      client.on('error', () => undefined)
      await client.connect()
      this.#clients.set(database, client)
      for (const trap of TRAPS) {
        await client.query(`create schema if not exists "${trap}"`)
        for (const table of tables)
          await client.query(`create table "${trap}"."${table}" (like "${this.schemaOf(slug)}"."${table}" including all)`)
        await this.#fill(client, trap, 'a trap')
      }
    }
    await this.client('acme').query(`insert into public.country (id, code, ${AUDIT}) values (1, 'FR', ${WHEN})`)
    for (const slug of slugs) await this.#fill(this.client(slug), this.schemaOf(slug), slug)
    for (const [place, rows] of await this.snapshot()) this.#seeded.set(place, rows)
  }

  async close(): Promise<void> {
    for (const client of this.#clients.values()) await client.end()
  }

  client(slug: Slug): Client {
    return this.#clients.get(this.databaseOf(slug))!
  }

  schemaOf(slug: Slug): string {
    return slug === 'acme' || slug === 'initech' ? `${this.#kit.prefix}_${slug}` : 'tenant'
  }

  databaseOf(slug: Slug): string {
    return slug === 'acme' || slug === 'initech' ? new URL(this.#kit.url).pathname.slice(1) : `${this.#kit.prefix}_${slug}`
  }

  /** Everything that stands anywhere: text by `<tenant or trap>`. */
  async snapshot(): Promise<Map<string, string>> {
    const places = new Map<string, string>()
    await Promise.all(
      [...this.#clients].map(async ([database, client]) => {
        for (const { schema, text } of await this.#read(database, client))
          places.set(
            slugs.find(slug => this.databaseOf(slug) === database && this.schemaOf(slug) === schema) ?? `${database} ${schema}`,
            text,
          )
      }),
    )
    return places
  }

  /** What changed since the beginning, by place; a tenant of the exception may have changed. */
  async changes(except?: Slug): Promise<string[]> {
    const found: string[] = []
    for (const [place, text] of await this.snapshot()) {
      if (place !== except && text !== this.#seeded.get(place)) found.push(`${place}: ${this.#seeded.get(place)}\n became ${text}`)
    }
    return found
  }

  /** A tenant's rows as they were in the beginning. */
  seeded(slug: Slug): string {
    return this.#seeded.get(slug)!
  }

  /** Puts the rows of every place back that changed. */
  async reset(): Promise<void> {
    for (const [place, text] of await this.snapshot()) {
      if (text === this.#seeded.get(place)) continue
      const slug = slugs.find(name => name === place)
      if (slug !== undefined) await this.#fill(this.client(slug), this.schemaOf(slug), slug)
      else {
        const [database, schema] = place.split(' ') as [string, string]
        await this.#fill(this.#clients.get(database)!, schema, 'a trap')
      }
    }
  }

  async #read(database: string, client: Client): Promise<{ schema: string; text: string }[]> {
    const schemas = [...TRAPS, ...new Set(slugs.filter(slug => this.databaseOf(slug) === database).map(slug => this.schemaOf(slug)))]
    const parts = schemas.flatMap(schema =>
      tables.map(
        table =>
          `select '${schema}' as schema, '${table}' || coalesce(string_agg(t::text, '|' order by t::text), '') as text from "${schema}"."${table}" t`,
      ),
    )
    const { rows } = await client.query<{ schema: string; text: string }>(parts.join(' union all '))
    return schemas.map(schema => ({
      schema,
      text: rows
        .filter(row => row.schema === schema)
        .map(row => row.text)
        .join('\n'),
    }))
  }

  async #fill(client: Client, schema: string, whose: string): Promise<void> {
    const mark = `'row of ${whose}'`
    await client.query(
      [
        `set search_path to "${schema}"`,
        'truncate book_tags, book, tag, author, summary',
        `insert into author (id, mark, bio, version, ${AUDIT}) values (1, ${mark}, ${mark}, 1, ${WHEN}), (2, ${mark}, ${mark}, 1, ${WHEN})`,
        `insert into book (id, mark, author_id, ${AUDIT}) values (1, ${mark}, 1, ${WHEN}), (2, ${mark}, 2, ${WHEN})`,
        `insert into tag (id, mark, ${AUDIT}) values (1, ${mark}, ${WHEN}), (2, ${mark}, ${WHEN})`,
        'insert into book_tags (book_id, tag_id) values (1, 1), (2, 2)',
        `insert into summary (id, mark, ${AUDIT}) values (1, ${mark}, ${WHEN})`,
        'set search_path to default',
      ].join(';'),
    )
  }
}
