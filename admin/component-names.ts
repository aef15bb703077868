/** The components of the panel: what replaces AdminJS's own, and what is added. `scripts/bundle-admin.ts` makes one file of them. */

/** Components that stand in the place of AdminJS's. */
export const OVERRIDDEN = ['Login', 'TopBar', 'DefaultListAction', 'DefaultDatetimeEditProperty'] as const
/** Components of our own. */
export const ADDED = [
  'AuditSection',
  'BulkConfirm',
  'ConfirmAction',
  'Dashboard',
  'History',
  'JsonShow',
  'MembersEdit',
  'MembersShow',
  'OwnPage',
  'PasswordEdit',
  'StatusBadge',
  'TenantAdministrator',
  'TenantForm',
  'TenantOperations',
] as const

/** The files of the overridden ones. */
export const FILES: Readonly<Record<(typeof OVERRIDDEN)[number], string>> = {
  Login: 'Login',
  TopBar: 'TopBar',
  DefaultListAction: 'ListWithStatus',
  DefaultDatetimeEditProperty: 'DateEdit',
}

/** The names under which AdminJS knows the added ones. */
export type ComponentNames = Readonly<Record<(typeof ADDED)[number], string>>
