/** The history of a record, as its timeline is given: pages of events, the newest first, for whoever may read the record. */
import { AppError, type ActionContext, type ActionRequest, type RecordActionResponse } from 'adminjs'
import { HISTORY, marksOf } from '../src/classification/scope.ts'
import { currentContext } from '../src/context/context.ts'
import type { Tenancy } from '../src/tenancy.ts'
import type { MikroResource } from './adapter/resource.ts'
import type { ActorNames } from './audit-section.ts'
import { personOf } from './person.ts'

/** The name of the property that stands for the section, and of the action that fills it. */
export const HISTORY_SECTION = 'history'
const PAGE_SIZE = 20
const VALUE_MAX = 2_000

/** A value before or after: text, nothing, or one that the history does not keep. */
export interface HistoryValue {
  readonly kind: 'text' | 'empty' | 'redacted'
  readonly text: string
}

/** An event of the timeline. */
export interface HistoryEntry {
  readonly id: string
  /** ISO 8601 in UTC. */
  readonly at: string
  readonly action: string
  /** The name of who acted. */
  readonly actor: string
  /** How many records the event is about. */
  readonly count: number
  readonly changes: readonly { readonly field: string; readonly before: HistoryValue; readonly after: HistoryValue }[]
  /** Facts of the control plane's events, such as how an operation ended. */
  readonly details: readonly { readonly name: string; readonly value: string }[]
}

/** A page of the timeline. */
export interface HistoryAnswer {
  readonly entries: readonly HistoryEntry[]
  /** Gives the older ones; null when there are none. */
  readonly cursor: string | null
}

/** Whether changes of an entity are recorded. */
export function isRecorded({ meta }: MikroResource): boolean {
  return (marksOf(meta)[HISTORY] ?? (meta.root === undefined ? undefined : marksOf(meta.root)[HISTORY])) !== undefined
}

/** What the timeline is made with. */
export interface HistorySurroundings {
  readonly tenancy: Tenancy
  readonly names: ActorNames
}

/** The action that answers pages of the timeline; it changes nothing, and no button leads to it. */
export function historyAction(resource: MikroResource, hide: readonly string[], { tenancy, names }: HistorySurroundings) {
  return {
    actionType: 'record' as const,
    icon: 'Clock',
    isVisible: false,
    component: false as const,
    handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<RecordActionResponse> => {
      const { record, currentAdmin } = context
      if (record === undefined) throw new AppError('The record is gone.')
      const cursor: unknown = request.query?.['cursor']
      const { items, next_cursor } = await tenancy.history.list({
        // The plane follows from the request: a tenant's history is read in the tenant alone.
        tenant: currentContext()?.tenant?.slug,
        entity: resource.meta.className,
        entity_id: record.id(),
        limit: PAGE_SIZE,
        ...(typeof cursor === 'string' ? { cursor } : {}),
      })
      const people = await names.of(
        items.map(({ actor }) => actor),
        personOf(currentAdmin),
      )
      const isShown = (field: string): boolean => !hide.includes(field) && resource.meta.properties[field]?.hidden !== true
      const answer: HistoryAnswer = {
        entries: items.map(({ id, at, action, actor, count, changes, details }) => ({
          id,
          at,
          action,
          actor: people.get(actor) ?? actor,
          count,
          changes: Object.entries(changes)
            .filter(([field]) => isShown(field))
            .map(([field, [before, after]]) => ({ field, before: valueOf(before), after: valueOf(after) })),
          details: Object.entries(details ?? {}).map(([name, value]) => ({ name, value: valueOf(value).text })),
        })),
        cursor: next_cursor,
      }
      return { record: record.toJSON(currentAdmin), ...answer }
    },
  }
}

/** What stands in the history instead of a secret. Source: docs/history.md */
const REDACTED = '[redacted]'

function valueOf(value: unknown): HistoryValue {
  if (value === null || value === undefined || value === '') return { kind: 'empty', text: '' }
  if (value === REDACTED) return { kind: 'redacted', text: '' }
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return { kind: 'text', text: text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)} …` : text }
}
