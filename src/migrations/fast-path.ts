/**
 * The short way: the statements of pure-SQL migrations are collected once, and each tenant gets them as one message, together with its
 * tracking rows. PostgreSQL runs a message as one transaction, so that a tenant has all of it or nothing.
 *
 * Source: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
 */
import { createHash } from 'node:crypto'
import type { DirectClient } from '../connections/direct.ts'
import { quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import { isCatalogChange } from './catalog-change.ts'
import { isDestructive } from './destructive.ts'
import { lockTimeoutSql, withLockRetries, type LockPatience } from './lock-retries.ts'
import type { CollectedMigration } from './migration-set.ts'
import { TRACKING_TABLE, lockKeySql } from './runner.ts'

/** A target with what it is known to have, and what it lacks. */
export interface FastTarget {
  readonly schema: Identifier
  readonly recorded: readonly string[]
  readonly names: readonly string[]
}

/** How long a group waits for a lock, and how long one of its statements may take, in milliseconds: who is in the way of the others goes alone. */
const GROUP_LOCK_MS = 100
const GROUP_STATEMENT_MS = 500
/** Of all targets of a group together: what they lock counts against `max_locks_per_transaction`. */
const GROUP_STATEMENTS = 120

export class FastPath {
  readonly #patience: LockPatience
  readonly #migrations: ReadonlyMap<string, CollectedMigration>
  /** By the names that are pending: most tenants of a fleet lack the same. */
  readonly #bodies = new Map<string, readonly string[] | undefined>()

  constructor(collected: readonly CollectedMigration[], patience: LockPatience) {
    this.#patience = patience
    this.#migrations = new Map(collected.map(migration => [migration.name, migration]))
  }

  /** All names, in order. */
  get names(): readonly string[] {
    return [...this.#migrations.keys()]
  }

  /** Whether all of them may run while the tenant is used. */
  online(names: readonly string[]): boolean {
    return names.every(name => this.#migrations.get(name)?.online === true)
  }

  /** The first of them that would lose data without declaring it. */
  undeclared(names: readonly string[]): { readonly name: string; readonly statement: string } | undefined {
    return undeclaredIn([...this.#migrations.values()], names)
  }

  /** How many targets that lack these may be changed in one transaction. */
  together(names: readonly string[]): number {
    const body = this.#body(names)
    // Who is used meanwhile must not wait for others, and what works on rows takes as long as there are rows.
    if (body === undefined || this.online(names) || !body.slice(1).every(isCatalogChange)) return 1
    return Math.max(1, Math.floor(GROUP_STATEMENTS / body.length))
  }

  /** The statements of a target, each apart, or `undefined` if one of the migrations must be run as code. */
  statements(target: FastTarget): readonly string[] | undefined {
    const own = this.#own(target)
    return own === undefined ? undefined : [lockTimeoutSql(this.#patience), ...own]
  }

  /** Sends the statements as one message. */
  async send(client: DirectClient, statements: readonly string[]): Promise<void> {
    const message = statements.join(';\n')
    await withLockRetries(this.#patience, () => client.query(message))
  }

  /**
   * Changes several targets in one transaction, that is all of them or none: what is dear is ending one. Tried once; with none of them changed
   * when it throws.
   */
  async sendTogether(client: DirectClient, targets: readonly FastTarget[]): Promise<void> {
    const limits = [`set local lock_timeout to ${GROUP_LOCK_MS}`, `set local statement_timeout to ${GROUP_STATEMENT_MS}`]
    await client.query([...limits, ...targets.flatMap(target => this.#own(target)!)].join(';\n'))
  }

  #own({ schema, recorded, names }: FastTarget): readonly string[] | undefined {
    const body = this.#body(names)
    if (body === undefined) return undefined
    return [
      // It waits at most as long as for a table: a waiting statement holds a snapshot, which an index that is built concurrently waits for.
      `select pg_advisory_xact_lock(${lockKeySql(schema)})`,
      `set local search_path to ${quoteIdentifier(schema)}`,
      recordedCheckSql(recorded),
      ...body,
    ]
  }

  #body(names: readonly string[]): readonly string[] | undefined {
    const key = names.join('/')
    if (!this.#bodies.has(key)) this.#bodies.set(key, this.#bodyOf(names))
    return this.#bodies.get(key)
  }

  #bodyOf(names: readonly string[]): readonly string[] | undefined {
    const migrations = names.map(name => this.#migrations.get(name)?.statements)
    if (migrations.some(statements => statements === undefined)) return undefined
    const rows = names.map(name => `(${quoteLiteral(name)})`).join(', ')
    // The rows first: the key stops a second run that the lock did not.
    return [`insert into ${quoteIdentifier(TRACKING_TABLE)} ("name") values ${rows}`, ...migrations.flatMap(statements => statements ?? [])]
  }
}

/** Fails unless exactly these are recorded: what a target has was read before its lock was held, or told by the registry. */
function recordedCheckSql(names: readonly string[]): string {
  const digest = createHash('sha256')
    .update([...names].sort().join('/'))
    .digest('hex')
  const found = `encode(sha256(convert_to(coalesce(string_agg("name", '/' order by "name" collate "C"), ''), 'UTF8')), 'hex')`
  return `select 1 / (${found} = '${digest}')::int as recorded_as_known from ${quoteIdentifier(TRACKING_TABLE)}`
}

/** The first of the named migrations that would lose data without declaring it. */
export function undeclaredIn(
  collected: readonly CollectedMigration[],
  names: readonly string[],
): { readonly name: string; readonly statement: string } | undefined {
  for (const { name, destructive, shown } of collected) {
    if (destructive || !names.includes(name)) continue
    const statement = shown?.find(isDestructive)
    if (statement !== undefined) return { name, statement }
  }
  return undefined
}

/**
 * What each of the schemas has recorded, in one query for all; `undefined` where that cannot be read. All schemas stand in the database of
 * the client.
 */
export async function recordedIn(
  client: DirectClient,
  schemas: readonly Identifier[],
): Promise<readonly (readonly string[] | undefined)[]> {
  if (schemas.length === 0) return []
  const selects = schemas.map(
    (schema, place) =>
      `select ${place} as place, (select coalesce(json_agg("name"), '[]') from ${quoteIdentifier(schema)}.${quoteIdentifier(TRACKING_TABLE)}) as names`,
  )
  try {
    const { rows } = await client.query<{ place: number; names: readonly string[] }>(selects.join(' union all '))
    const found = new Map(rows.map(({ place, names }) => [place, names]))
    return schemas.map((_, place) => found.get(place))
  } catch (error) {
    // One of them is not there, or has no such table yet.
    if (!['42P01', '3F000', '42501'].includes(String((error as { code?: unknown }).code))) throw error
    if (schemas.length === 1) return [undefined]
    const halves = [schemas.slice(0, schemas.length >> 1), schemas.slice(schemas.length >> 1)]
    return [...(await recordedIn(client, halves[0]!)), ...(await recordedIn(client, halves[1]!))]
  }
}
