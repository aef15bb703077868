/** Actions of the application's own, as AdminJS runs them. */
import { AppError, type ActionContext, type ActionRequest, type RecordActionResponse } from 'adminjs'
import { currentContext } from '../src/context/context.ts'
import { TenancyError } from '../src/tenancy-error.ts'
import type { ComponentNames } from './component-names.ts'
import type { AdminAction } from './options.ts'

/** The actions by name: each has a component that posts, for AdminJS would send one without by GET. */
export function ownActions(actions: Readonly<Record<string, AdminAction>>, components: ComponentNames) {
  return Object.fromEntries(Object.entries(actions).map(([name, action]) => [name, ownAction(action, components)]))
}

function ownAction(action: AdminAction, components: ComponentNames) {
  const { label, question, icon = 'Play', isAccessible, phrase } = action
  return {
    actionType: 'record' as const,
    icon,
    component: components.ConfirmAction,
    showInDrawer: true,
    variant: phrase === undefined ? ('default' as const) : ('danger' as const),
    custom: { label, question, ...(phrase === undefined ? {} : { phrase }) },
    ...(isAccessible === undefined ? {} : { isAccessible }),
    handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<RecordActionResponse> => {
      const { record, resource, currentAdmin, h } = context
      if (record === undefined) throw new AppError('The record is gone.')
      if (request.method !== 'post') return { record: record.toJSON(currentAdmin) }
      const confirmation = typed(request)
      const wanted = phrase?.replace(/\{(\w+)\}/g, (_, name: string) => String(record.param(name)))
      if (wanted !== undefined && confirmation !== wanted) throw new AppError(`Type ${wanted} to confirm. Nothing was changed.`)
      try {
        const message = await action.run({ id: record.id(), tenant: currentContext()?.tenant, confirmation })
        const fresh = (await resource.findOne(record.id(), context)) ?? record
        const redirectUrl = h.recordActionUrl({ resourceId: resource.id(), recordId: record.id(), actionName: 'show' })
        return { record: fresh.toJSON(currentAdmin), notice: { type: 'success', message }, redirectUrl }
      } catch (error) {
        if (error instanceof TenancyError && error.status < 500) throw new AppError([error.message, error.hint].filter(Boolean).join(' '))
        throw error
      }
    },
  }
}

function typed({ payload }: ActionRequest): string | undefined {
  const given: unknown = payload?.['confirm_hard_delete']
  return typeof given === 'string' ? given : undefined
}
