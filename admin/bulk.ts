/** Bulk actions: they ask first, run on POST only, in one transaction, and tell what they did. */
import type { Action, ActionContext, ActionRequest, BulkActionResponse } from 'adminjs'
import { isShown } from './adapter/problems.ts'
import type { MikroResource } from './adapter/resource.ts'
import type { ComponentNames } from './component-names.ts'

/** What a bulk action asks and does. */
export interface BulkDescription {
  readonly icon: string
  readonly title: string
  readonly text: string
  readonly button: string
  /** What has to be typed; checked here, whatever the form does. */
  readonly phrase?: string
  /** Does it to all of them or to none, and gives the message of its success. */
  run(resource: MikroResource, ids: readonly string[]): Promise<string>
}

/** The action of a description. */
export function bulkAction(components: ComponentNames, description: BulkDescription): Partial<Action<BulkActionResponse>> {
  const { icon, phrase, title, text, button } = description
  const custom = { title, text, button, ...(phrase === undefined ? {} : { phrase }) }
  return {
    actionType: 'bulk',
    isVisible: true,
    icon,
    component: components.BulkConfirm,
    showInDrawer: true,
    variant: 'danger',
    guard: '',
    custom,
    handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<BulkActionResponse> => {
      const records = context.records ?? []
      const json = () => records.map(record => record.toJSON(context.currentAdmin))
      if (request.method !== 'post') return { records: json() }
      const refused = (message: string): BulkActionResponse => ({ records: json(), notice: { type: 'error', message } })
      if (phrase !== undefined && request.payload?.['confirm_hard_delete'] !== phrase)
        return refused(`Type ${phrase} to confirm. Nothing was changed.`)
      try {
        const message = await description.run(
          context.resource as MikroResource,
          records.map(record => record.id()),
        )
        const redirectUrl = context.h.resourceUrl({ resourceId: context.resource.id() })
        return { records: json(), notice: { type: 'success', message }, redirectUrl }
      } catch (error) {
        // AdminJS wants the records of a bulk action, also of one that failed.
        if (isShown(error)) return refused((error as { baseMessage?: string }).baseMessage ?? 'Refused')
        throw error
      }
    },
  }
}
