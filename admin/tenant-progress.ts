/** How far the operations on a tenant are: what its page asks for as long as one runs. */
import { AppError, type ActionContext, type ActionRequest, type RecordActionResponse } from 'adminjs'
import { controlEm } from '../src/context/context.ts'
import type { OperationJson } from '../src/operation-records.ts'
import type { Tenancy } from '../src/tenancy.ts'
import { TenantInvitation, TenantSetting } from '../src/tenants/entities.ts'
import type { RuledAction } from './registry-rules.ts'

/** The name of the property that stands for the section, and of the action that it asks. */
export const OPERATIONS_SECTION = 'operations'
const SHOWN = 6

/** An operation, as the section shows it. */
export type TenantOperationJson = OperationJson

/** What the section shows. */
export interface TenantProgress {
  readonly status: string
  readonly operations: readonly OperationJson[]
  /** Which secrets are stored; what they are is told nowhere. */
  readonly secrets: Readonly<Record<'connectionString' | 'provisioningConnectionString', boolean>>
  /** How many live rows stand beneath the tenant. */
  readonly parts: Readonly<Record<'TenantSetting' | 'TenantInvitation', number>>
}

/** The action that gives a {@link TenantProgress} beside the record. It reads only, whatever method it is asked by. */
export function operationsAction(tenancy: Tenancy): RuledAction {
  return {
    actionType: 'record',
    isVisible: false,
    component: false,
    handler: async (
      _request: ActionRequest,
      _response: unknown,
      { record, currentAdmin }: ActionContext,
    ): Promise<RecordActionResponse & { readonly progress: TenantProgress }> => {
      if (record === undefined) throw new AppError('The record is gone.')
      return { record: record.toJSON(currentAdmin), progress: await progressOf(tenancy, record.id(), String(record.param('slug'))) }
    },
  }
}

async function progressOf(tenancy: Tenancy, id: string, slug: string): Promise<TenantProgress> {
  const tenant = await tenancy.showTenant(slug)
  const isIt = tenant.id === id
  const where = { tenant: id }
  return {
    // Of a purged tenant whose slug is another one's by now nothing is told here.
    status: isIt ? tenant.status : 'purged',
    operations: isIt ? await tenancy.operations.list(slug, { limit: SHOWN }) : [],
    secrets: {
      connectionString: isIt && tenant.has_connection_string,
      provisioningConnectionString: isIt && tenant.has_provisioning_connection_string,
    },
    parts: {
      TenantSetting: await controlEm().count(TenantSetting, where),
      TenantInvitation: await controlEm().count(TenantInvitation, where),
    },
  }
}
