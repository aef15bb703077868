/**
 * The sealed chain of a plane: each event's hash covers the hash before it, so that nothing in between can change, go or come unnoticed.
 *
 * Events are sealed afterwards, never in the transaction that writes them: a chain there would let one writer at a time through. What must
 * not happen is that an event is passed over because its transaction commits late. Each row keeps the number of its transaction (`tx`), and
 * an event is sealed only when every transaction with a lower number has ended: `tx < pg_snapshot_xmin(pg_current_snapshot())`. What is
 * committed below that line is seen, and nothing can appear below it any more. The chain is in the order of `tx`, then of id.
 * A number at or above `pg_snapshot_xmax` of a row that is seen was given by another server, before the rows moved here: it has committed.
 *
 * Source: https://www.postgresql.org/docs/15/functions-info.html#FUNCTIONS-INFO-SNAPSHOT (xmin, xmax), the same in 18.
 */
import { createHash } from 'node:crypto'
import { IsolationLevel, type EntityManager } from '@mikro-orm/postgresql'
import { HistoryBrokenError } from '../errors.ts'
import { quoteIdentifier, type Identifier } from '../naming.ts'
import { CHAIN_TABLE, EVENT_TABLE } from './audit-event.ts'

/** A history: the control plane's, or one tenant's. */
export interface HistoryPlane {
  readonly em: EntityManager
  readonly schema: Identifier
  /** `control`, or the tenant's id: a chain that was copied from another plane does not fit. */
  readonly key: string
}

/** A place in a chain. Kept outside of the database, it shows later that the chain has not been made anew. */
export interface Seal {
  /** From 1; 0 is the beginning. */
  readonly position: number
  /** SHA-256 in hexadecimal. */
  readonly hash: string
}

/** A row as it is hashed: every value is text as PostgreSQL prints it, or a number. */
export interface ChainRow {
  readonly id: string
  readonly entity: string
  readonly entity_id: string | null
  readonly action: string
  readonly actor: string
  readonly at: string
  readonly request_id: string | null
  readonly changes: string
  readonly details: string | null
  readonly count: number
  readonly cascade_id: string | null
  readonly tx: string
  readonly position: string | null
  readonly hash: string | null
  readonly previous_hash: string | null
}

/** Where the chain of a plane begins (after what retention removed) and ends. */
export interface ChainEnds {
  readonly anchor: Seal
  readonly head: Seal
}

export const CHAIN_COLUMNS = `id, entity, entity_id, action, actor,
  pg_catalog.to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at,
  request_id, changes::text as changes, details::text as details, count, cascade_id, tx::text as tx, position, hash, previous_hash`

/** How many events are sealed, verified or removed in one go. */
export const BATCH = 1_000

/** The quoted name of a table of the history. */
export function tableOf({ schema }: Pick<HistoryPlane, 'schema'>, table: typeof EVENT_TABLE | typeof CHAIN_TABLE): string {
  return `${quoteIdentifier(schema)}."${table}"`
}

/** The hash of an event behind another one: SHA-256 over a JSON array of its values in a fixed order. */
export function hashOf(key: string, previous: string, row: ChainRow): string {
  const { id, entity, entity_id, action, actor, at, request_id, changes, details, count, cascade_id, tx } = row
  const input = ['v1', key, previous, id, entity, entity_id, action, actor, at, request_id, changes, details, count, cascade_id, tx]
  return createHash('sha256').update(JSON.stringify(input)).digest('hex')
}

/** The ends of a chain; with a lock, nobody else seals or removes until the transaction ends. @throws HISTORY_BROKEN */
export async function chainEnds(em: EntityManager, plane: HistoryPlane, lock = false): Promise<ChainEnds> {
  const rows: { anchor_position: string; anchor_hash: string; head_position: string; head_hash: string }[] = await em.execute(
    `select anchor_position, anchor_hash, head_position, head_hash from ${tableOf(plane, CHAIN_TABLE)} where name = 'chain'${lock ? ' for update' : ''}`,
  )
  const [row] = rows
  if (row === undefined) throw new HistoryBrokenError('The row that says where the chain begins and ends is gone.')
  return {
    anchor: { position: Number(row.anchor_position), hash: row.anchor_hash },
    head: { position: Number(row.head_position), hash: row.head_hash },
  }
}

/** Seals one batch; answers how many events it sealed. Another sealer of the same plane is waited for. @throws HISTORY_BROKEN */
export function sealBatch(plane: HistoryPlane, limit = BATCH): Promise<number> {
  const table = tableOf(plane, EVENT_TABLE)
  const work = async (em: EntityManager): Promise<number> => {
    const { head } = await chainEnds(em, plane, true)
    // A snapshot of its own, taken after the lock was had: hence READ COMMITTED. `tx` alone would be the text that is selected.
    const rows: ChainRow[] = await em.execute(
      `select ${CHAIN_COLUMNS} from ${table} as e where position is null
        and (tx < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) or tx >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()))
        order by e.tx, e.id limit ${limit}`,
    )
    if (rows.length === 0) return 0
    let { position, hash } = head
    const seals = rows.map(row => {
      const previous = hash
      hash = hashOf(plane.key, previous, row)
      return { id: row.id, position: ++position, hash, previous }
    })
    await em.execute(
      `update ${table} as e set position = s.position, hash = s.hash, previous_hash = s.previous
        from pg_catalog.json_to_recordset(?) as s(id uuid, position bigint, hash text, previous text) where e.id = s.id`,
      [JSON.stringify(seals)],
    )
    await em.execute(`update ${tableOf(plane, CHAIN_TABLE)} set head_position = ?, head_hash = ? where name = 'chain'`, [position, hash])
    return rows.length
  }
  return plane.em.transactional(em => work(em as EntityManager), { isolationLevel: IsolationLevel.READ_COMMITTED })
}

/** Seals all that can be sealed now, batch after batch; each is a transaction, so that an interrupted run is simply run again. */
export async function sealPlane(plane: HistoryPlane, limit = BATCH): Promise<number> {
  let sealed = 0
  for (let batch = limit; batch === limit; sealed += batch) batch = await sealBatch(plane, limit)
  return sealed
}
