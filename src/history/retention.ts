/** Retention: old events go from the beginning of the chain, and where they ended is kept, so that the rest can be verified. */
import { IsolationLevel, type EntityManager } from '@mikro-orm/postgresql'
import { CHAIN_TABLE, EVENT_TABLE } from './audit-event.ts'
import { BATCH, chainEnds, sealPlane, tableOf, type HistoryPlane } from './chain.ts'
import { eventRows } from './new-event.ts'
import { sendingBy, writeEvents } from './write-events.ts'

interface OldRow {
  readonly position: string
  readonly hash: string
  readonly old: boolean
}

/**
 * Removes the sealed events from the beginning of the chain up to the first that is not older than `before`; answers how many. What is not
 * sealed is sealed first. Each batch is a transaction that moves the anchor too, so that an interrupted run is simply run again. That
 * events were removed is an event itself.
 */
export async function purgePlane(plane: HistoryPlane, before: Date, actor: string, limit = BATCH): Promise<number> {
  await sealPlane(plane)
  let removed = 0
  for (let batch = limit; batch === limit; removed += batch) batch = await purgeBatch(plane, before, actor, limit)
  return removed
}

function purgeBatch(plane: HistoryPlane, before: Date, actor: string, limit: number): Promise<number> {
  const table = tableOf(plane, EVENT_TABLE)
  const work = async (em: EntityManager): Promise<number> => {
    const { anchor } = await chainEnds(em, plane, true)
    const rows: OldRow[] = await em.execute(
      `select position, hash, at < ? as old from ${table} where position > ? order by position limit ${limit}`,
      [before, anchor.position],
    )
    const end = rows.findIndex(({ old }) => !old)
    const old = end === -1 ? rows : rows.slice(0, end)
    const last = old.at(-1)
    if (last === undefined) return 0
    await em.execute(`delete from ${table} where position > ? and position <= ?`, [anchor.position, last.position])
    await em.execute(`update ${tableOf(plane, CHAIN_TABLE)} set anchor_position = ?, anchor_hash = ? where name = 'chain'`, [
      last.position,
      last.hash,
    ])
    const details = { before: before.toISOString(), position: Number(last.position), hash: last.hash }
    const rowsOfIt = eventRows([{ entity: 'AuditEvent', action: 'history.purge', count: old.length, details }], { actor })
    await writeEvents(sendingBy(em), plane.schema, rowsOfIt)
    return old.length
  }
  return plane.em.transactional(em => work(em as EntityManager), { isolationLevel: IsolationLevel.READ_COMMITTED })
}
