/**
 * The sessions of the back office: rows of the control plane, known to the browser by a random token of which only the hash is kept. So they
 * survive a restart, and can be listed and revoked.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { controlEm } from '../src/context/context.ts'
import { newId } from '../src/ids.ts'
import type { Tenancy } from '../src/tenancy.ts'

/** A session as it is kept. */
export interface AdminSession {
  readonly id: string
  readonly plane: 'global' | 'tenant'
  readonly userId: string
  readonly label: string
  /** The tenant of a local user. */
  readonly tenantId: string | null
  readonly tenantSlug: string | null
  /** When a global operator entered which tenant, by its id: milliseconds since 1970. */
  readonly entered: Readonly<Record<string, number>>
  readonly address: string
  readonly userAgent: string
  readonly createdAt: Date
  readonly seenAt: Date
  readonly expiresAt: Date
}

/** What a session is made from. */
export type NewSession = Pick<AdminSession, 'plane' | 'userId' | 'label' | 'tenantId' | 'tenantSlug' | 'address' | 'userAgent'>

interface Limits {
  readonly idleMs: number
  readonly sessionMs: number
}

const TABLE = '"public"."tenantkit_admin_session"'
const COLUMNS = `"id", "plane", "user_id" as "userId", "label", "tenant_id" as "tenantId", "tenant_slug" as "tenantSlug", "entered", "address",
  "user_agent" as "userAgent", "created_at" as "createdAt", "seen_at" as "seenAt", "expires_at" as "expiresAt"`
const TOKEN = /^[\w-]{43}$/
/** Not every request writes: the row is touched when it was last seen this long ago. */
const TOUCH_MS = 60_000

export class AdminSessions {
  readonly #tenancy: Tenancy
  readonly #limits: Limits

  constructor(tenancy: Tenancy, limits: Limits) {
    this.#tenancy = tenancy
    this.#limits = limits
  }

  /** Makes a session and gives its token, which is known to nobody but the browser. Sessions that are over go at the same time. */
  async create(session: NewSession): Promise<string> {
    const token = randomBytes(32).toString('base64url')
    const now = new Date()
    const { plane, userId, label, tenantId, tenantSlug, address, userAgent } = session
    await this.#sql(`delete from ${TABLE} where "expires_at" < ? or "seen_at" < ?`, [now, new Date(now.getTime() - this.#limits.idleMs)])
    await this.#sql(
      `insert into ${TABLE} ("id", "token_hash", "plane", "user_id", "label", "tenant_id", "tenant_slug", "address", "user_agent", "created_at", "seen_at", "expires_at")
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        newId(),
        hashOf(token),
        plane,
        userId,
        label.slice(0, 255),
        tenantId,
        tenantSlug,
        address.slice(0, 64),
        userAgent.slice(0, 300),
        now,
        now,
        new Date(now.getTime() + this.#limits.sessionMs),
      ],
    )
    return token
  }

  /** The session of a token, unless it is over. */
  async find(token: string | undefined): Promise<AdminSession | undefined> {
    if (token === undefined || !TOKEN.test(token)) return undefined
    const hash = hashOf(token)
    const [row] = await this.#sql<AdminSession>(`select ${COLUMNS} from ${TABLE} where "token_hash" = ?`, [hash])
    if (row === undefined) return undefined
    const session = dated(row)
    const now = Date.now()
    if (session.expiresAt.getTime() <= now || session.seenAt.getTime() + this.#limits.idleMs <= now) {
      await this.end(token)
      return undefined
    }
    if (session.seenAt.getTime() + Math.min(TOUCH_MS, this.#limits.idleMs / 2) <= now)
      await this.#sql(`update ${TABLE} set "seen_at" = ? where "token_hash" = ?`, [new Date(now), hash])
    return session
  }

  /** Ends the session of a token; one that is over already is fine. */
  async end(token: string | undefined): Promise<void> {
    if (token !== undefined) await this.#sql(`delete from ${TABLE} where "token_hash" = ?`, [hashOf(token)])
  }

  /** Notes that a global operator enters a tenant, or leaves it (`undefined`). */
  async enter(session: AdminSession, tenantId: string, at: number | undefined): Promise<void> {
    const { [tenantId]: _, ...others } = session.entered
    const entered = at === undefined ? others : { ...others, [tenantId]: at }
    await this.#sql(`update ${TABLE} set "entered" = ?::jsonb where "id" = ?`, [JSON.stringify(entered), session.id])
  }

  /** The sessions that are not over, the newest first. */
  async list(): Promise<readonly AdminSession[]> {
    const idle = new Date(Date.now() - this.#limits.idleMs)
    const sql = `select ${COLUMNS} from ${TABLE} where "expires_at" > ? and "seen_at" > ? order by "created_at" desc, "id" desc`
    return (await this.#sql<AdminSession>(sql, [new Date(), idle])).map(dated)
  }

  /** Ends a session by its id. Answers whether there was one. */
  async revoke(id: string): Promise<boolean> {
    const rows = await this.#sql(`delete from ${TABLE} where "id"::text = ? returning "id"`, [id])
    return rows.length > 0
  }

  #sql<T extends object>(sql: string, parameters: readonly unknown[]): Promise<T[]> {
    return this.#tenancy.runAsSystem('admin-sessions', () => controlEm().execute<T[]>(sql, [...parameters]))
  }
}

/** The token that every change must send: it follows from the session's, which scripts cannot read. */
export function csrfOf(token: string): string {
  return createHmac('sha256', token).update('csrf').digest('base64url')
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

/** The driver gives some dates as text. */
function dated(row: AdminSession): AdminSession {
  const { entered } = row
  return {
    ...row,
    entered: typeof entered === 'string' ? (JSON.parse(entered) as Record<string, number>) : entered,
    createdAt: new Date(row.createdAt),
    seenAt: new Date(row.seenAt),
    expiresAt: new Date(row.expiresAt),
  }
}
