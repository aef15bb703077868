/**
 * Says to all processes that tenants are being migrated, so that they refuse requests meanwhile: a time in each tenant's row, moved on while
 * the migration goes on. Who is killed moves nothing on, and the tenant serves again when the time has come.
 */
import type { DirectClient } from '../connections/direct.ts'
import { TENANT_CHANNEL } from '../tenants/tenant-changes.ts'

/** How long a mark holds without being moved on, in seconds. Longer than the clocks of two machines differ. */
const LEASE_SECONDS = 45
const RENEWED_EVERY_MS = 15_000

/** The tables of the registry, for SQL. */
export const TENANT_TABLE = 'public.tenantkit_tenant'

/** Notifies of each row of a query that has the columns `id` and `slug`. */
export function notifying(from: string): string {
  return `select pg_notify('${TENANT_CHANNEL}', json_build_object('id', id, 'slug', slug)::text) from ${from}`
}

export class MigratingMarks {
  readonly #client: DirectClient
  readonly #changed: (slug: string) => void
  /** Slugs by id. */
  readonly #held = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined

  /** `changed` is for this process, which does not wait for its own notification. */
  constructor(client: DirectClient, changed: (slug: string) => void) {
    this.#client = client
    this.#changed = changed
  }

  async put(tenants: readonly { readonly id: string; readonly slug: string }[]): Promise<void> {
    if (tenants.length === 0) return
    for (const { id, slug } of tenants) this.#held.set(id, slug)
    this.#timer ??= setInterval(() => void this.#write([...this.#held.keys()], LEASE_SECONDS).catch(() => undefined), RENEWED_EVERY_MS)
    this.#timer.unref()
    await this.#write(
      tenants.map(({ id }) => id),
      LEASE_SECONDS,
    )
  }

  /** Moves them on no more: whoever stores what became of the tenants clears the column with it. */
  release(ids: readonly string[]): void {
    for (const id of ids) this.#held.delete(id)
    if (this.#held.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Clears them. */
  async clear(ids: readonly string[] = [...this.#held.keys()]): Promise<void> {
    const held = ids.filter(id => this.#held.has(id))
    if (held.length > 0) await this.#write(held, undefined)
    this.release(held)
  }

  async #write(ids: readonly string[], seconds: number | undefined): Promise<void> {
    const until = seconds === undefined ? 'null' : `now() + interval '${seconds} seconds'`
    await this.#client.query(
      `with marked as (update ${TENANT_TABLE} set migrating_until = ${until} where id = any($1::uuid[]) returning id, slug) ${notifying('marked')}`,
      [ids],
    )
    for (const id of ids) {
      const slug = this.#held.get(id)
      if (slug !== undefined) this.#changed(slug)
    }
  }
}
