/**
 * Who may do what: the fixed table of roles and permissions. What is not in it is denied.
 */
import { ForbiddenError } from '../errors.ts'
import type { Plane } from './claims.ts'

/** All permissions, as `subject:action`. */
export const PERMISSIONS = Object.freeze([
  'tenants:read',
  'tenants:write',
  'tenants:purge',
  'tenants:enter',
  'operations:run',
  'data:read',
  'data:write',
  'data:delete',
  'data:restore',
  'data:purge',
  'users:write',
] as const)

/** One permission. */
export type Permission = (typeof PERMISSIONS)[number]

/** The roles of the control plane. */
export type GlobalRole = 'owner' | 'operator' | 'auditor'

/** The roles inside a tenant. */
export type TenantRole = 'admin' | 'member' | 'viewer'

const freeze = <const T extends readonly Permission[]>(list: T): T => Object.freeze(list)

/**
 * The table of roles and permissions, per plane; frozen.
 *
 * The `data:` and `users:` permissions of a global role hold in the tenants it enters, so they count only with `tenants:enter`.
 */
export const ROLES = Object.freeze({
  global: Object.freeze({
    owner: PERMISSIONS,
    operator: freeze([
      'tenants:read',
      'tenants:write',
      'tenants:enter',
      'operations:run',
      'data:read',
      'data:write',
      'data:delete',
      'data:restore',
    ]),
    auditor: freeze(['tenants:read', 'tenants:enter', 'data:read']),
  } satisfies Record<GlobalRole, readonly Permission[]>),
  tenant: Object.freeze({
    admin: freeze(['data:read', 'data:write', 'data:delete', 'data:restore', 'data:purge', 'users:write']),
    member: freeze(['data:read', 'data:write', 'data:delete', 'data:restore']),
    viewer: freeze(['data:read']),
  } satisfies Record<TenantRole, readonly Permission[]>),
})

/**
 * The permissions of a role in its plane; an unknown role or plane has none.
 *
 * The set is a copy: changing it changes nothing for others.
 *
 * @example
 * permissionsOf('tenant', 'viewer').has('data:write') // false
 */
export function permissionsOf(plane: Plane, role: string): ReadonlySet<Permission> {
  // Own properties only: a role called "constructor" must not find anything.
  const roles: Readonly<Record<string, readonly Permission[]>> = Object.hasOwn(ROLES, plane) ? ROLES[plane] : {}
  return new Set(Object.hasOwn(roles, role) ? roles[role] : [])
}

/**
 * Throws `FORBIDDEN` when the set lacks the permission.
 *
 * @example
 * requirePermission(permissionsOf('global', user.role), 'tenants:purge')
 */
export function requirePermission(permissions: ReadonlySet<Permission>, permission: Permission): void {
  if (!permissions.has(permission)) throw new ForbiddenError(permission)
}
