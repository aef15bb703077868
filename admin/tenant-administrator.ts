/** The first administrator of a tenant: made by the application, by its option `bootstrapAdmin`. */
import { AppError, type ActionContext, type ActionRequest, type RecordActionResponse } from 'adminjs'
import type { Tenancy } from '../src/tenancy.ts'
import { TenancyError } from '../src/tenancy-error.ts'
import { atFields } from './adapter/problems.ts'
import type { ComponentNames } from './component-names.ts'
import type { RuledAction } from './registry-rules.ts'
import { allows, problemsAt, refusalsShown, tenantOf } from './tenant-rows.ts'

const FIELDS = { 'admin.email': 'email', 'admin.password': 'password', admin: 'email' } as const

/** The action that makes one. The password goes to the application and is answered nowhere. */
export function administratorAction(tenancy: Tenancy, components: ComponentNames): RuledAction {
  return {
    actionType: 'record',
    icon: 'UserPlus',
    component: components.TenantAdministrator,
    showInDrawer: true,
    isAccessible: allows('bootstrap_admin'),
    handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<RecordActionResponse> => {
      const { record, resource, currentAdmin, h } = context
      if (record === undefined) throw new AppError('The record is gone.')
      const json = record.toJSON(currentAdmin)
      if (request.method !== 'post') return { record: json }
      const { slug } = await tenantOf(record.id())
      const { email, password } = request.payload ?? {}
      await refusalsShown(async () => {
        try {
          await tenancy.operate(slug, 'bootstrap_admin', { admin: { email: text(email).trim(), password: text(password) } })
        } catch (error) {
          // The application's own refusal: such a user exists.
          if (error instanceof TenancyError && error.code === 'CONFLICT')
            throw atFields({ email: { type: 'taken', message: error.message } })
          throw problemsAt(error, FIELDS)
        }
      })
      const redirectUrl = h.recordActionUrl({ resourceId: resource.id(), recordId: record.id(), actionName: 'show' })
      return { record: json, notice: { type: 'success', message: 'tenantAdministratorMade', options: { email: text(email) } }, redirectUrl }
    },
  }
}

/** What is no text is none: the check of the fields says what is missing. */
function text(given: unknown): string {
  return typeof given === 'string' ? given : ''
}
