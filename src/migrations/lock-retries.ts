/**
 * A migration waits for a lock for a short time only, and then tries again: while it waits, everyone who comes after it waits as well, and
 * one long report would stop the whole tenant.
 *
 * Source: https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-LOCK-TIMEOUT
 */
import { setTimeout } from 'node:timers/promises'

/** How a locked table is met. */
export interface LockPatience {
  /** How long one try waits, in milliseconds. Default 2000. */
  readonly timeoutMs: number
  /** How many tries there are. Default 8. */
  readonly attempts: number
}

export const LOCK_PATIENCE: LockPatience = Object.freeze({ timeoutMs: 2_000, attempts: 8 })

/** The lock was not to be had in time; two waited for each other. */
const RETRIED = new Set(['55P03', '40P01'])
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2_000

/** What a transaction begins with. */
export function lockTimeoutSql({ timeoutMs }: LockPatience): string {
  return `set local lock_timeout to ${Math.round(timeoutMs)}`
}

/** Runs work that was rolled back whenever it throws, again where a lock was not to be had. */
export async function withLockRetries<T>({ attempts }: LockPatience, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt >= attempts || !RETRIED.has(String((error as { code?: unknown }).code))) throw error
    }
    // Full jitter: those who met at a lock do not meet there again.
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt)
    await setTimeout(pause / 2 + (Math.random() * pause) / 2)
  }
}
