/** The registry in the panel: what can be done to a tenant, as far as its status allows. Every rule is the registry's own. */
import type { ActionContext } from 'adminjs'
import { controlEm } from '../src/context/context.ts'
import { NotFoundError } from '../src/errors.ts'
import type { Tenancy } from '../src/tenancy.ts'
import { Tenant, type TenantStatus } from '../src/tenants/entities.ts'
import { ALLOWED, type LifeOperation } from '../src/tenants/life.ts'
import type { AdminAction, AdminActionCall, AdminResourceOptions } from './options.ts'

interface Description {
  readonly operation: Exclude<LifeOperation, 'bootstrap_admin'>
  readonly label: string
  readonly question: string
  readonly icon: string
  readonly permission: string
  readonly phrase?: string
}

const DESCRIPTIONS: readonly Description[] = [
  {
    operation: 'provision_and_migrate',
    label: 'Provision & migrate',
    question: 'Make what is missing, and apply all migrations?',
    icon: 'PlayCircle',
    permission: 'operations:run',
  },
  { operation: 'provision', label: 'Provision', question: 'Make what is missing?', icon: 'Box', permission: 'operations:run' },
  { operation: 'migrate', label: 'Migrate', question: 'Apply all migrations?', icon: 'ArrowUpCircle', permission: 'operations:run' },
  {
    operation: 'suspend',
    label: 'Suspend',
    question: 'Refuse this tenant to everyone until it is resumed?',
    icon: 'PauseCircle',
    permission: 'operations:run',
  },
  { operation: 'resume', label: 'Resume', question: 'Let this tenant serve again?', icon: 'Play', permission: 'operations:run' },
  {
    operation: 'archive',
    label: 'Archive',
    question: 'Refuse this tenant to everyone? All its data is kept, and it can be restored.',
    icon: 'Archive',
    permission: 'tenants:write',
  },
  { operation: 'restore', label: 'Restore', question: 'Return to the former status?', icon: 'RotateCcw', permission: 'operations:run' },
  {
    operation: 'purge',
    label: 'Delete permanently',
    question: 'Drop the data of this tenant? There is no way back.',
    icon: 'AlertTriangle',
    permission: 'tenants:purge',
    phrase: 'DELETE {slug}',
  },
]

/** What the panel is told of the entity `Tenant`, unless the application says otherwise. */
export function tenantResource(tenancy: Tenancy): AdminResourceOptions {
  return {
    list: ['status', 'slug', 'name', 'isolationMode', 'provisioningMode', 'schemaVersion'],
    hide: ['createdResources', 'schemaFingerprint', 'version'],
    actions: Object.fromEntries(DESCRIPTIONS.map(description => [description.operation, actionOf(tenancy, description)])),
  }
}

function actionOf(tenancy: Tenancy, { operation, ...texts }: Description): AdminAction {
  const allowed: readonly TenantStatus[] = ALLOWED[operation]
  return {
    ...texts,
    isAccessible: ({ record }: ActionContext) => record === undefined || allowed.includes(record.param('status') as TenantStatus),
    run: async ({ id, confirmation }: AdminActionCall) => {
      const row = await controlEm().findOne(Tenant, { id }, { filters: { notDeleted: false } })
      if (row === null) throw new NotFoundError('tenant')
      if (operation === 'archive') {
        await tenancy.archive(row.slug)
        return `${row.slug} is archived.`
      }
      const { operation: report, tenant } = await tenancy.operate(row.slug, operation, { confirm: confirmation })
      return told(row.slug, tenant.status, report.result)
    },
  }
}

/** What was really done: migrations that were applied, resources that were dropped. */
function told(slug: string, status: string, { applied, dropped }: Readonly<Record<string, unknown>>): string {
  const counted = Array.isArray(applied) ? ` ${applied.length === 0 ? 'No migration was pending.' : `Applied: ${applied.join(', ')}.`}` : ''
  const names = Array.isArray(dropped) ? dropped.map(each => nameOf(each)).join(', ') : ''
  return `${slug} is ${status}.${counted}${names === '' ? '' : ` Dropped: ${names}.`}`
}

function nameOf(resource: unknown): string {
  const { kind = '', name = '' } = (typeof resource === 'object' && resource !== null ? resource : {}) as { kind?: string; name?: string }
  return typeof resource === 'string' ? resource : `${kind} ${name}`.trim()
}
