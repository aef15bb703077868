/** The public list of `mikro-tenantkit/admin`. Importing it does not load AdminJS; the first request to the panel does. */
export { createAdminPanel, type AdminPanel } from './panel.ts'
export { accountsOf, type AccountPlane, type AdminAccount, type AdminAccounts } from './accounts.ts'
export type { AdminAction, AdminActionCall, AdminLog, AdminPanelOptions, AdminResourceOptions } from './options.ts'
export { bundleComponents, type BundleOptions } from './bundle-components.ts'
export type { AdminCard, AdminPage, AdminPageBlock, AdminPageCall, AdminPlace } from './pages.ts'
export type { AdminSession } from './sessions.ts'
