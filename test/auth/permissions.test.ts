import { assert } from 'chai'
import type { Plane } from '../../src/auth/claims.ts'
import { permissionsOf, PERMISSIONS, requirePermission, ROLES, type Permission } from '../../src/auth/permissions.ts'
import { ForbiddenError } from '../../src/errors.ts'

// Written out once more on purpose: a change of the table must be made twice, and looked at.
const TABLE = [
  [
    'global',
    'owner',
    'tenants:read tenants:write tenants:purge tenants:enter operations:run data:read data:write data:delete data:restore data:purge users:write',
  ],
  ['global', 'operator', 'tenants:read tenants:write tenants:enter operations:run data:read data:write data:delete data:restore'],
  ['global', 'auditor', 'tenants:read tenants:enter data:read'],
  ['tenant', 'admin', 'data:read data:write data:delete data:restore data:purge users:write'],
  ['tenant', 'member', 'data:read data:write data:delete data:restore'],
  ['tenant', 'viewer', 'data:read'],
] as const

describe('permissionsOf', () => {
  for (const [plane, role, permissions] of TABLE) {
    it(`gives ${plane} ${role} exactly its permissions`, () => {
      assert.sameMembers([...permissionsOf(plane, role)], permissions.split(' '))
    })
  }

  it('knows no other role', () => {
    assert.sameMembers(
      [...Object.keys(ROLES.global), ...Object.keys(ROLES.tenant)],
      TABLE.map(([, role]) => role),
    )
  })

  it('gives an unknown role or plane nothing, and a role of the other plane too', () => {
    for (const role of ['', 'Owner', 'admin', 'viewer', 'root', 'constructor', '__proto__', 'toString', 'length'])
      assert.equal(permissionsOf('global', role).size, 0, role)
    for (const role of ['owner', 'operator', 'auditor', 'hasOwnProperty', '__proto__'])
      assert.equal(permissionsOf('tenant', role).size, 0, role)
    for (const plane of ['system', '__proto__', 'constructor', '']) assert.equal(permissionsOf(plane as Plane, 'owner').size, 0, plane)
    assert.equal(permissionsOf('global', undefined as unknown as string).size, 0)
  })

  it('gives no tenant role a permission over tenants', () => {
    for (const role of Object.keys(ROLES.tenant))
      for (const permission of permissionsOf('tenant', role)) assert.notMatch(permission, /^(tenants|operations):/)
  })

  it('cannot be changed for others', () => {
    ;(permissionsOf('tenant', 'viewer') as Set<Permission>).add('data:purge')
    assert.isFalse(permissionsOf('tenant', 'viewer').has('data:purge'))
    assert.isFrozen(PERMISSIONS)
    for (const roles of [ROLES, ROLES.global, ROLES.tenant, ...Object.values(ROLES.global), ...Object.values(ROLES.tenant)])
      assert.isFrozen(roles)
  })
})

describe('requirePermission', () => {
  it('passes with the permission, and throws FORBIDDEN naming the permission without it', () => {
    requirePermission(permissionsOf('tenant', 'member'), 'data:write')
    assert.throws(() => requirePermission(permissionsOf('tenant', 'member'), 'data:purge'), ForbiddenError, 'data:purge')
    assert.throws(() => requirePermission(new Set(), 'data:read'), ForbiddenError)
  })
})
