/** Who logs in to the back office: operators of the control plane, and local users of each tenant. */
import type { AnyBothEntity } from '../src/classification/entities.ts'
import { permissionsOf } from '../src/auth/permissions.ts'
import { controlEm, em } from '../src/context/context.ts'

/** Where an account lives: in the control plane, or in the active tenant. */
export type AccountPlane = 'global' | 'tenant'

/** A person who may log in. */
export interface AdminAccount {
  readonly id: string
  /** What the header shows, such as the email address. */
  readonly label: string
  /** As `hashPassword` makes it. */
  readonly passwordHash: string
  readonly permissions: ReadonlySet<string>
}

/**
 * The accounts of an application. Each method runs in the context of its plane: in the control plane as a job of the system, where
 * `controlEm()` answers, or in the tenant, where `em()` does.
 */
export interface AdminAccounts {
  /** The account of an email address, in lower case; `undefined` when there is none, or when it may not log in. */
  byEmail(email: string, plane: AccountPlane): Promise<AdminAccount | undefined>
  /** The account of an id, for every request: who is gone is out at once. */
  byId(id: string, plane: AccountPlane): Promise<AdminAccount | undefined>
  /** The names of accounts by id, deleted ones included, for the audit section. */
  names(ids: readonly string[], plane: AccountPlane): Promise<ReadonlyMap<string, string>>
  /** Keeps when somebody logged in, in the store of the plane that was logged in to. Optional. */
  loggedIn?(id: string, plane: AccountPlane, at: Date): Promise<void>
}

interface UserRow {
  readonly id: string
  readonly email: string
  readonly name?: string
  readonly role: string
  readonly passwordHash: string
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * The accounts of a both entity with the properties `id` (UUID), `email`, `role`, `passwordHash` and, for the audit section, `name`. Where it
 * has `lastLogInAt`, the time of each log-in is kept there.
 *
 * @example createAdminPanel(tenancy, { accounts: accountsOf(User) })
 */
export function accountsOf(user: AnyBothEntity): AdminAccounts {
  const find = async (plane: AccountPlane, where: Record<string, unknown>, withDeleted = false): Promise<readonly UserRow[]> => {
    const options = withDeleted ? { filters: { notDeleted: false } } : {}
    const rows =
      plane === 'global' ? await controlEm().find(user.shared, where, options) : await em().fork().find(user.tenant, where, options)
    return rows as readonly UserRow[]
  }
  const account = (plane: AccountPlane, [row]: readonly UserRow[]): AdminAccount | undefined =>
    row && { id: row.id, label: row.email, passwordHash: row.passwordHash, permissions: permissionsOf(plane, row.role) }
  return Object.freeze({
    byEmail: async (email: string, plane: AccountPlane) => account(plane, await find(plane, { email })),
    byId: async (id: string, plane: AccountPlane) => (UUID.test(id) ? account(plane, await find(plane, { id })) : undefined),
    loggedIn: async (id: string, plane: AccountPlane, lastLogInAt: Date) => {
      const entity = plane === 'global' ? user.shared : user.tenant
      if (!('lastLogInAt' in entity.meta.properties)) return
      await (plane === 'global' ? controlEm() : em().fork()).nativeUpdate(entity as never, { id } as never, { lastLogInAt } as never)
    },
    names: async (ids: readonly string[], plane: AccountPlane) => {
      const rows = await find(plane, { id: { $in: ids.filter(id => UUID.test(id)) } }, true)
      return new Map(rows.map(row => [row.id, row.name ?? row.email]))
    },
  })
}
