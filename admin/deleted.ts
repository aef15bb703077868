/** What is done to deleted records: they are restored, or deleted for good, one or many, in one transaction. */
import { AppError, type ActionContext, type ActionRequest, type RecordActionResponse } from 'adminjs'
import { purge } from '../src/audit/purging.ts'
import { restore } from '../src/audit/restoring.ts'
import { notice } from './adapter/problems.ts'
import type { MikroResource } from './adapter/resource.ts'
import { bulkAction, type BulkDescription } from './bulk.ts'
import type { ComponentNames } from './component-names.ts'

/** What has to be typed before records are gone for good. */
export const HARD_DELETE = 'HARD DELETE'
/** The field that sends it. */
export const CONFIRMATION = 'confirm_hard_delete'

type Description = BulkDescription & { readonly name: string }

const RESTORE: Description = {
  name: 'restore',
  icon: 'RotateCcw',
  title: 'Restore?',
  text: 'What was deleted together with it is restored as well.',
  button: 'Restore',
  run: async (resource, ids) => told(await changed(resource, ids, restore), 'restored'),
}

const PURGE: Description = {
  name: 'hard_delete',
  icon: 'AlertTriangle',
  title: 'Delete permanently?',
  text: 'There is no way back.',
  button: 'Delete permanently',
  phrase: HARD_DELETE,
  run: async (resource, ids) => told(await changed(resource, ids, purge), 'deleted permanently'),
}

/** The actions of deleted records: `restore` and `hard_delete` of one, `restore_selected` and `hard_delete_selected` of many. */
export function deletedActions(components: ComponentNames) {
  const isAccessible = ({ record }: ActionContext): boolean => record === undefined || record.param('deletedAt') != null
  return Object.fromEntries(
    [RESTORE, PURGE].flatMap(description => [
      [description.name, { ...recordAction(components, description), isAccessible }],
      [`${description.name}_selected`, { ...bulkAction(components, description), isAccessible }],
    ]),
  ) as Readonly<Record<string, Readonly<Record<string, unknown>> & { isAccessible(context: ActionContext): boolean }>>
}

async function changed(resource: MikroResource, ids: readonly string[], change: typeof restore | typeof purge): Promise<number> {
  const { class: entity, primaryKeys } = resource.meta
  return resource.write(em => change(em, entity as never, { [primaryKeys[0]!]: { $in: [...ids] } } as never))
}

/** @throws AppError when nothing was done: a notice of success would be a lie */
function told(count: number, done: string): string {
  if (count === 0) throw notice('No deleted record was chosen. Nothing was changed.')
  return `${count} ${done}`
}

function recordAction(components: ComponentNames, description: Description) {
  const { icon, title, text, button, phrase } = description
  return {
    actionType: 'record',
    icon,
    component: components.ConfirmAction,
    showInDrawer: true,
    variant: phrase === undefined ? 'primary' : 'danger',
    custom: { label: button, question: `${title} ${text}`, ...(phrase === undefined ? {} : { phrase }) },
    handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<RecordActionResponse> => {
      const { record, resource, currentAdmin, h } = context
      if (record === undefined) throw new AppError('The record is gone.')
      const json = record.toJSON(currentAdmin)
      if (request.method !== 'post') return { record: json }
      if (phrase !== undefined && request.payload?.[CONFIRMATION] !== phrase)
        throw new AppError(`Type ${phrase} to confirm. Nothing was changed.`)
      const message = await description.run(resource as MikroResource, [record.id()])
      return { record: json, notice: { type: 'success', message }, redirectUrl: h.resourceUrl({ resourceId: resource.id() }) }
    },
  }
}
