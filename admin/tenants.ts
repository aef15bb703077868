/** The registry in the panel: what can be done to a tenant, as far as its status allows. Every rule is the registry's own. */
import { AppError, type ActionContext, type ActionRequest, type RecordActionResponse } from 'adminjs'
import type { Tenancy } from '../src/tenancy.ts'
import type { LifeOperation } from '../src/tenants/life.ts'
import type { ComponentNames } from './component-names.ts'
import type { AdminResourceOptions } from './options.ts'
import type { RegistryRules, RuledAction } from './registry-rules.ts'
import { administratorAction } from './tenant-administrator.ts'
import { deletionOfMany } from './tenant-deletion.ts'
import { formActions } from './tenant-form.ts'
import { OPERATIONS_SECTION, operationsAction } from './tenant-progress.ts'
import { allows, confirmationIn, refusalsShown, tenantOf } from './tenant-rows.ts'

interface Description {
  readonly operation: Exclude<LifeOperation, 'bootstrap_admin'>
  readonly icon: string
  readonly permission: string
  /** Whether it is started and watched, instead of waited for. */
  readonly isLong?: boolean
  readonly phrase?: string
}

const RUN = 'operations:run'
/** In this order they stand on the page of a tenant. */
const DESCRIPTIONS: readonly Description[] = [
  { operation: 'retry', icon: 'RefreshCw', permission: RUN, isLong: true },
  { operation: 'provision_and_migrate', icon: 'PlayCircle', permission: RUN, isLong: true },
  { operation: 'provision', icon: 'Box', permission: RUN, isLong: true },
  { operation: 'migrate', icon: 'ArrowUpCircle', permission: RUN, isLong: true },
  { operation: 'suspend', icon: 'PauseCircle', permission: RUN },
  { operation: 'resume', icon: 'Play', permission: RUN },
  { operation: 'archive', icon: 'Archive', permission: 'tenants:write' },
  { operation: 'restore', icon: 'RotateCcw', permission: RUN },
  { operation: 'purge', icon: 'AlertTriangle', permission: 'tenants:purge', isLong: true, phrase: 'DELETE {slug}' },
]

/** What the panel is told of the entity `Tenant`, unless the application says otherwise. */
export const tenantResource: AdminResourceOptions = {
  list: ['status', 'slug', 'name', 'isolationMode', 'provisioningMode', 'schemaVersion'],
  hide: ['createdResources', 'schemaFingerprint', 'version'],
}

/** What can be done to tenants, and what it takes. */
export function tenantRules(tenancy: Tenancy, components: ComponentNames): RegistryRules {
  const makesAdministrators = tenancy.operations.makesAdministrators
  return {
    needs: {
      new: ['tenants:write'],
      edit: ['tenants:write'],
      [OPERATIONS_SECTION]: ['tenants:read'],
      // Whoever makes an administrator decides who sees the tenant's data.
      bootstrap_admin: [RUN, 'users:write'],
      purge_selected: ['tenants:purge'],
      ...Object.fromEntries(DESCRIPTIONS.map(({ operation, permission }) => [operation, [permission]])),
    },
    actions: {
      ...formActions(tenancy, components),
      [OPERATIONS_SECTION]: operationsAction(tenancy),
      ...Object.fromEntries(DESCRIPTIONS.map(description => [description.operation, operationAction(tenancy, components, description)])),
      ...(makesAdministrators ? { bootstrap_admin: administratorAction(tenancy, components) } : {}),
      purge_selected: deletionOfMany(tenancy, components),
    },
    properties: {
      [OPERATIONS_SECTION]: {
        position: -20,
        hideLabel: true,
        isVisible: { list: false, filter: false, show: true, edit: false },
        components: { show: components.TenantOperations },
      },
    },
  }
}

function operationAction(tenancy: Tenancy, components: ComponentNames, { operation, icon, isLong, phrase }: Description): RuledAction {
  return {
    actionType: 'record',
    icon,
    component: components.ConfirmAction,
    showInDrawer: true,
    variant: phrase === undefined ? 'default' : 'danger',
    custom: { words: operation, ...(phrase === undefined ? {} : { phrase }) },
    isAccessible: allows(operation),
    handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<RecordActionResponse> => {
      const { record, resource, currentAdmin, h } = context
      if (record === undefined) throw new AppError('The record is gone.')
      if (request.method !== 'post') return { record: record.toJSON(currentAdmin) }
      const { slug } = await tenantOf(record.id())
      const confirm = confirmationIn(request)
      const notice = await refusalsShown(async () => {
        if (isLong === true) {
          await tenancy.operations.start(slug, operation, { confirm })
          return { message: 'tenantOperationStarted', options: { slug } }
        }
        const { status } = operation === 'archive' ? await tenancy.archive(slug) : (await tenancy.operate(slug, operation)).tenant
        return { message: 'tenantOperationDone', options: { slug, status } }
      })
      const fresh = (await resource.findOne(record.id(), context)) ?? record
      const redirectUrl = h.recordActionUrl({ resourceId: resource.id(), recordId: record.id(), actionName: 'show' })
      return { record: fresh.toJSON(currentAdmin), notice: { type: 'success', ...notice }, redirectUrl }
    },
  }
}
