/** The back office of a tenancy. */
import type { Middleware } from 'koa'
import type { Tenancy } from '../src/tenancy.ts'
import { AdminServer, type Loaded } from './http/server.ts'
import { resolveAdminOptions, type AdminPanelOptions } from './options.ts'
import { AdminSessions } from './sessions.ts'

/** A back office, to be mounted on a Koa application. */
export interface AdminPanel {
  /** Answers everything below `/admin`, and hands on the rest. Mount it before what reads bodies. */
  readonly middleware: Middleware
  /** The sessions of the panel: they can be listed, and revoked by their id. */
  readonly sessions: Pick<AdminSessions, 'list' | 'revoke'>
  /** Loads AdminJS now, instead of at the first request, and checks that every entity can be shown. @throws CONFIGURATION_INVALID */
  load(): Promise<void>
}

/**
 * Makes the back office of a tenancy: `/admin` for the control plane, `/admin/t/<slug>` for each tenant.
 *
 * AdminJS is loaded at the first request: a process that serves no panel pays nothing for it.
 *
 * @throws CONFIGURATION_INVALID
 * @example
 * const panel = createAdminPanel(tenancy, { accounts: accountsOf(User) })
 * app.use(panel.middleware)
 */
export function createAdminPanel(tenancy: Tenancy, options: AdminPanelOptions): AdminPanel {
  const resolved = resolveAdminOptions(options)
  const sessions = new AdminSessions(tenancy, resolved)
  let loading: Promise<Loaded> | undefined
  const load = (): Promise<Loaded> => {
    loading ??= Promise.all([import('./site.ts'), import('./http/assets.ts')]).then(async ([{ buildSite }, { Assets }]) => {
      const [site, assets] = await Promise.all([buildSite(tenancy, resolved), Assets.load(resolved.bundle)])
      return { site, assets }
    })
    loading.catch(() => (loading = undefined))
    return loading
  }
  const server = new AdminServer(tenancy, resolved, sessions, load)
  return Object.freeze({
    middleware: server.middleware,
    sessions: { list: () => sessions.list(), revoke: (id: string) => sessions.revoke(id) },
    load: async () => void (await load()),
  })
}
