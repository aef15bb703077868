/**
 * What a freshly migrated tenant looks like: the reference that a tenant is compared with.
 *
 * The migrations run in a new schema inside a transaction that is rolled back, so that nothing is left whatever happens. If one of them is
 * code, they run in a schema that is dropped afterwards; `doctor` names one that a killed process left.
 */
import { randomBytes } from 'node:crypto'
import { withDirectClient } from '../connections/direct.ts'
import type { Isolation } from '../context/context.ts'
import { ConfigurationError } from '../errors.ts'
import { parseIdentifier, quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import { fingerprintOf, objectsOf, type SchemaObjects } from './fingerprint.ts'
import { collect, type FormatQuery, type MigrationSet } from './migration-set.ts'
import { TRACKING_TABLE, trackingTableSql, type MigrationTarget, type Selection } from './runner.ts'

/** What the schema of a reference bears (`COMMENT ON SCHEMA`). */
export const REFERENCE_MARK = 'mikro-tenantkit reference'
/** How the schema of a reference begins. */
export const REFERENCE_PREFIX = 'tenantkit_reference_'

/** A tenant as the migrations make it. */
export interface Reference {
  /** The last migration in it. */
  readonly head: string | undefined
  readonly fingerprint: string
  readonly objects: SchemaObjects
}

/** Which reference. */
export interface ReferenceOptions {
  readonly isolation: Isolation
  /** The last migration; `null`: none. */
  readonly head: string | null
  /** A direct URL of a database of the same server version, as a role that may create schemas there. */
  readonly url: string
}

export interface ReferenceBuilderOptions {
  readonly set: MigrationSet
  readonly format: FormatQuery
  readonly up: (target: MigrationTarget, selection: Selection) => Promise<unknown>
}

export class ReferenceBuilder {
  readonly #options: ReferenceBuilderOptions

  constructor(options: ReferenceBuilderOptions) {
    this.#options = options
  }

  /** @throws CONFIGURATION_INVALID if no file has the name `head`, MIGRATION_FAILED */
  async build({ isolation, head, url }: ReferenceOptions): Promise<Reference> {
    const { set, format } = this.#options
    const all = await set.load()
    const last = head === null ? 0 : all.findIndex(({ name }) => name === head) + 1
    if (last === 0 && head !== null) throw new ConfigurationError([`There is no ${set.plane} migration ${JSON.stringify(head)}.`])
    const collected = await collect(all.slice(0, last), isolation, format)
    const schema = parseIdentifier(REFERENCE_PREFIX + randomBytes(6).toString('hex'))
    const code = collected.find(({ statements }) => statements === undefined)
    // Its code would work on the tables that there are.
    if (code !== undefined && set.plane === 'shared')
      throw new ConfigurationError([`${code.name} is code, or runs in no transaction: it cannot be run beside the control plane.`])
    const objects =
      code !== undefined
        ? await this.#run(url, schema, isolation, collected.at(-1)!.name)
        : await rehearsed(
            url,
            schema,
            collected.flatMap(({ statements }) => statements!),
          )
    return Object.freeze({ head: collected.at(-1)?.name, fingerprint: fingerprintOf(objects), objects })
  }

  async #run(url: string, schema: Identifier, isolation: Isolation, to: string): Promise<SchemaObjects> {
    const name = quoteIdentifier(schema)
    return withDirectClient(url, async client => {
      await client.query(`create schema ${name};\ncomment on schema ${name} is ${quoteLiteral(REFERENCE_MARK)}`)
      try {
        await this.#options.up({ key: 'the reference', scope: 'tenant', isolation, schema, url }, { to })
        return (await objectsOf(client, [schema])).get(schema)!
      } finally {
        await client.query(`drop schema ${name} cascade`)
      }
    })
  }
}

async function rehearsed(url: string, schema: Identifier, statements: readonly string[]): Promise<SchemaObjects> {
  const name = quoteIdentifier(schema)
  return withDirectClient(url, async client => {
    await client.query('begin')
    try {
      const table = quoteIdentifier(TRACKING_TABLE)
      // It is undone again, and nobody shall wait for it: a migration may name tables that stand elsewhere.
      const before = [
        `set local lock_timeout to '1s'`,
        `create schema ${name}`,
        `set local search_path to ${name}`,
        trackingTableSql(table),
      ]
      // Empty again, for PostgreSQL writes the names in definitions by it.
      await client.query([...before, ...statements, `set local search_path to ''`].join(';\n'))
      return (await objectsOf(client, [schema])).get(schema)!
    } finally {
      await client.query('rollback')
    }
  })
}
