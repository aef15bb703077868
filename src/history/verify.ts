/** Verifying a sealed chain: from its anchor to its head, and the first place where it breaks. */
import { IsolationLevel, type EntityManager } from '@mikro-orm/postgresql'
import { EVENT_TABLE } from './audit-event.ts'
import { BATCH, CHAIN_COLUMNS, chainEnds, hashOf, tableOf, type ChainRow, type HistoryPlane, type Seal } from './chain.ts'
import { HistoryBrokenError } from '../errors.ts'

/** The first place where a chain does not hold. */
export interface HistoryBreak {
  /**
   * `changed`: the event is not what was sealed. `removed`: there is no event at this place. `order`: the event does not follow the one
   * before it, because one of the two was inserted or moved. `head`: the chain does not end, or does not pass, where it should.
   */
  readonly kind: 'changed' | 'removed' | 'order' | 'head'
  readonly position: number
  /** The event at this place, if there is one. */
  readonly event: string | null
}

/** What verifying found in one plane. */
export interface ChainVerification {
  readonly ok: boolean
  /** How many sealed events were looked at. */
  readonly checked: number
  /** How many events are not sealed yet: nothing is known of these. At most {@link UNSEALED_MAX} are counted. */
  readonly unsealed: number
  /** The end of the chain. */
  readonly head: Seal
  readonly break: HistoryBreak | null
}

export interface VerifyOptions {
  /** Only so many of the newest sealed events. Default: all. */
  readonly newest?: number | undefined
  /** A seal that was kept elsewhere: the chain must pass through it, unless retention has removed it. */
  readonly known?: Seal | undefined
}

const UNSEALED_MAX = 10_000

/** In one snapshot, so that sealing and retention can go on meanwhile. */
export function verifyPlane(plane: HistoryPlane, options: VerifyOptions = {}): Promise<ChainVerification> {
  return plane.em.transactional(em => verifyIn(em as EntityManager, plane, options), {
    isolationLevel: IsolationLevel.REPEATABLE_READ,
    readOnly: true,
  })
}

async function verifyIn(em: EntityManager, plane: HistoryPlane, { newest, known }: VerifyOptions): Promise<ChainVerification> {
  const unsealed = await countUnsealed(em, plane)
  const ends = await chainEnds(em, plane).catch((error: unknown) => {
    if (error instanceof HistoryBrokenError) return undefined
    throw error
  })
  const nothing = { position: 0, hash: '' }
  if (ends === undefined) return { ok: false, checked: 0, unsealed, head: nothing, break: { kind: 'removed', position: 0, event: null } }
  const { anchor, head } = ends
  let last = anchor
  if (newest !== undefined && head.position - newest > anchor.position) {
    last = { position: head.position - newest, hash: await hashAt(em, plane, head.position - newest) }
  }
  let checked = 0
  const broken = (kind: HistoryBreak['kind'], position: number, event: string | null): ChainVerification => ({
    ok: false,
    checked,
    unsealed,
    head,
    break: { kind, position, event },
  })
  if (known !== undefined && known.position === last.position && known.hash !== last.hash) return broken('head', known.position, null)
  for (let rows = await rowsAfter(em, plane, last.position); rows.length > 0; rows = await rowsAfter(em, plane, last.position)) {
    for (const row of rows) {
      const position = last.position + 1
      if (Number(row.position) !== position) return broken('removed', position, null)
      if (row.hash !== hashOf(plane.key, row.previous_hash ?? '', row)) return broken('changed', position, row.id)
      if (row.previous_hash !== last.hash) return broken('order', position, row.id)
      last = { position, hash: row.hash }
      checked++
      if (known?.position === position && known.hash !== row.hash) return broken('head', position, row.id)
    }
  }
  if (last.position < head.position) return broken('removed', last.position + 1, null)
  if (last.position !== head.position || last.hash !== head.hash) return broken('head', last.position, null)
  if (known !== undefined && known.position > head.position) return broken('head', head.position, null)
  return { ok: true, checked, unsealed, head, break: null }
}

function rowsAfter(em: EntityManager, plane: HistoryPlane, position: number): Promise<ChainRow[]> {
  const sql = `select ${CHAIN_COLUMNS} from ${tableOf(plane, EVENT_TABLE)} where position > ? order by position limit ${BATCH}`
  return em.execute(sql, [position])
}

async function hashAt(em: EntityManager, plane: HistoryPlane, position: number): Promise<string> {
  const rows: { hash: string }[] = await em.execute(`select hash from ${tableOf(plane, EVENT_TABLE)} where position = ?`, [position])
  return rows[0]?.hash ?? ''
}

async function countUnsealed(em: EntityManager, plane: HistoryPlane): Promise<number> {
  const rows: { n: number }[] = await em.execute(
    `select pg_catalog.count(*)::int as n from (select 1 from ${tableOf(plane, EVENT_TABLE)} where position is null limit ${UNSEALED_MAX}) u`,
  )
  return rows[0]?.n ?? 0
}
