/** The registry in the panel: what is known of its entities. */
import type { Tenancy } from '../src/tenancy.ts'
import type { ComponentNames } from './component-names.ts'
import type { AdminResourceOptions } from './options.ts'
import type { RegistryRules } from './registry-rules.ts'
import { invitationResource, invitationRules, settingResource, settingRules } from './tenant-parts.ts'
import { tenantResource, tenantRules } from './tenants.ts'

/** What they are told, unless the application says otherwise. */
export const REGISTRY_RESOURCES: ReadonlyMap<string, AdminResourceOptions> = new Map([
  ['Tenant', tenantResource],
  ['TenantSetting', settingResource],
  ['TenantInvitation', invitationResource],
])

/** The rules by the name of the entity. */
export function registryRules(tenancy: Tenancy, components: ComponentNames): ReadonlyMap<string, RegistryRules> {
  return new Map([
    ['Tenant', tenantRules(tenancy, components)],
    ['TenantSetting', settingRules()],
    ['TenantInvitation', invitationRules()],
  ])
}
