/** Changes to what all databases of a server share: roles, memberships, rights on databases. */
import { setTimeout } from 'node:timers/promises'
import type { DirectClient } from '../connections/direct.ts'

/** How often a change to a row of the whole server is tried, and how long it waits in between at most, in milliseconds. */
const SHARED_TRIES = 10
const SHARED_WAIT_MS = 50

/**
 * Changes what other control planes of the server may be changing at the same moment: PostgreSQL locks no such row, it refuses the second
 * writer, and an advisory lock reaches no further than its database. The text must be safe to try again.
 */
export async function queryShared(client: DirectClient, sql: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await client.query(sql)
      return
    } catch (error) {
      if (tries >= SHARED_TRIES || !(error instanceof Error) || !error.message.includes('tuple concurrently updated')) throw error
      await setTimeout(Math.random() * SHARED_WAIT_MS)
    }
  }
}
