/** Deleting many tenants for good: by a phrase with their number, one after the other, telling what became of each. */
import type { ActionContext, ActionRequest, BulkActionResponse } from 'adminjs'
import { NotFoundError } from '../src/errors.ts'
import type { Tenancy } from '../src/tenancy.ts'
import { TenancyError } from '../src/tenancy-error.ts'
import type { ComponentNames } from './component-names.ts'
import type { RuledAction } from './registry-rules.ts'
import { confirmationIn, sayingOf, tenantOf } from './tenant-rows.ts'

/** What became of one tenant. */
export interface DeletionOutcome {
  readonly slug: string
  readonly status: 'purged' | 'kept'
  /** What was really dropped, as `schema tenant_acme`. */
  readonly dropped: readonly string[]
  /** Why it was kept. */
  readonly code: string | null
  readonly reason: string | null
}

/** At once; each takes a second or two. */
const MOST = 100

/** What has to be typed before so many tenants are gone for good. */
export function phraseOf(count: number): string {
  return `DELETE ${count} TENANTS`
}

/** The bulk action: one that cannot be deleted keeps no other from it. */
export function deletionOfMany(tenancy: Tenancy, components: ComponentNames): RuledAction {
  return {
    actionType: 'bulk',
    isVisible: true,
    icon: 'AlertTriangle',
    component: components.BulkConfirm,
    showInDrawer: true,
    variant: 'danger',
    guard: '',
    custom: { words: 'purge_selected', phrase: phraseOf(0).replace('0', '{count}') },
    handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<BulkActionResponse> => {
      const records = context.records ?? []
      const json = () => records.map(record => record.toJSON(context.currentAdmin))
      if (request.method !== 'post') return { records: json() }
      const refused = (message: string, options: object): BulkActionResponse => ({
        records: json(),
        notice: { type: 'error', message, options } as never,
      })
      // The rows that there are, not the ids that were sent.
      const phrase = phraseOf(records.length)
      if (records.length > MOST) return refused('tenantsTooMany', { most: MOST })
      if (confirmationIn(request) !== phrase) return refused('tenantsUnconfirmed', { phrase })
      const outcomes: DeletionOutcome[] = []
      for (const record of records) outcomes.push(await purge(tenancy, record.id(), String(record.param('slug'))))
      const gone = outcomes.filter(({ status }) => status === 'purged').length
      const type = gone === outcomes.length ? 'success' : 'error'
      const options = { gone, kept: outcomes.length - gone }
      return { records: json(), outcomes, notice: { type, message: 'tenantsPurged', options } } as never
    },
  }
}

async function purge(tenancy: Tenancy, id: string, slug: string): Promise<DeletionOutcome> {
  try {
    const row = await tenantOf(id)
    const { operation } = await tenancy.operate(row.slug, 'purge', { confirm: `DELETE ${row.slug}` })
    return { slug, status: 'purged', dropped: namesOf(operation.result['dropped']), code: null, reason: null }
  } catch (error) {
    if (error instanceof NotFoundError) return { slug, status: 'kept', dropped: [], code: error.code, reason: 'It is purged already.' }
    if (error instanceof TenancyError) return { slug, status: 'kept', dropped: [], code: error.code, reason: sayingOf(error) }
    // Of those before it, which are gone for good, the answer must still tell.
    return { slug, status: 'kept', dropped: [], code: 'INTERNAL', reason: 'Something went wrong; its operations say what.' }
  }
}

function namesOf(dropped: unknown): readonly string[] {
  if (!Array.isArray(dropped)) return []
  return (dropped as readonly { readonly kind: string; readonly name: string }[]).map(({ kind, name }) => `${kind} ${name}`)
}
