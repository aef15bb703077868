/** The forms of a tenant: a new one, and what may change of one. Secrets go in and never come out. */
import { AppError, type ActionContext, type ActionRequest, type ActionResponse, type RecordActionResponse } from 'adminjs'
import type { Tenancy } from '../src/tenancy.ts'
import type { TenantInput } from '../src/tenants/input.ts'
import { atFields, notice, type FieldProblems } from './adapter/problems.ts'
import type { ComponentNames } from './component-names.ts'
import { personOf } from './person.ts'
import type { RuledAction } from './registry-rules.ts'
import { problemsAt, refusalsShown, tenantOf } from './tenant-rows.ts'

/** The fields of the form, by the names that the registry's refusals have. */
const FIELDS = {
  slug: 'slug',
  name: 'name',
  isolation_mode: 'isolationMode',
  provisioning_mode: 'provisioningMode',
  schema_name: 'schemaName',
  connection_alias: 'connectionAlias',
  connection_string: 'connectionString',
  provisioning_connection_string: 'provisioningConnectionString',
  metadata: 'metadata',
  admin: 'adminEmail',
  'admin.email': 'adminEmail',
  'admin.password': 'adminPassword',
} as const
type Field = (typeof FIELDS)[keyof typeof FIELDS]

const LENGTH_MAX = 2_000
const STALE = 'Someone else changed this record meanwhile. Reload it, then repeat the change.'

/** `new` and `edit` of a tenant. */
export function formActions(tenancy: Tenancy, components: ComponentNames): Readonly<Record<'new' | 'edit', RuledAction>> {
  const { makesAdministrators } = tenancy.operations
  const shared = { component: components.TenantForm, showInDrawer: false }
  return {
    new: {
      ...shared,
      actionType: 'resource',
      custom: { makesAdministrators },
      handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<ActionResponse> => {
        if (request.method !== 'post') return {}
        return refusalsShown(() => create(tenancy, request, context))
      },
    },
    edit: {
      ...shared,
      actionType: 'record',
      isAccessible: ({ record }: ActionContext) => record === undefined || !['purging', 'purged'].includes(String(record.param('status'))),
      handler: async (request: ActionRequest, _response: unknown, context: ActionContext): Promise<RecordActionResponse> => {
        const { record, currentAdmin } = context
        if (record === undefined) throw new AppError('The record is gone.')
        if (request.method !== 'post') return { record: record.toJSON(currentAdmin) }
        return refusalsShown(() => change(tenancy, request, context))
      },
    },
  }
}

async function create(tenancy: Tenancy, request: ActionRequest, { resource, currentAdmin, h }: ActionContext): Promise<ActionResponse> {
  const { values, problems } = valuesOf(request)
  const { facts, problem } = metadataOf(values.metadata)
  if (problem !== undefined) problems['metadata'] = problem
  if (Object.keys(problems).length > 0) throw atFields(problems)
  const { adminEmail: email, adminPassword: password } = values
  const wantsAdministrator = email !== undefined || password !== undefined
  if (wantsAdministrator && personOf(currentAdmin)?.permissions.includes('users:write') !== true)
    throw atFields({ adminEmail: { type: 'forbidden', message: 'This needs the permission users:write' } })
  const input = {
    // Their absence is refused by the same check as everything else, all fields at once.
    slug: values.slug ?? '',
    name: values.name ?? '',
    isolation: (values.isolationMode ?? '') as TenantInput['isolation'],
    provisioning: values.provisioningMode as TenantInput['provisioning'],
    schemaName: values.schemaName,
    connectionAlias: values.connectionAlias,
    connectionString: values.connectionString,
    provisioningConnectionString: values.provisioningConnectionString,
    metadata: facts,
    ...(!wantsAdministrator ? {} : { admin: { email: email ?? '', password: password ?? '' } }),
  }
  try {
    await tenancy.operations.provision(input)
  } catch (error) {
    throw problemsAt(error, FIELDS)
  }
  const { id } = await tenancy.showTenant(input.slug)
  const redirectUrl = h.recordActionUrl({ resourceId: resource.id(), recordId: id, actionName: 'show' })
  return { notice: { type: 'success', message: 'tenantBegun', options: { slug: input.slug } }, redirectUrl }
}

async function change(tenancy: Tenancy, request: ActionRequest, context: ActionContext): Promise<RecordActionResponse> {
  const { record, resource, currentAdmin, h } = context
  const { values, problems } = valuesOf(request)
  const { facts, problem } = metadataOf(values.metadata)
  if (problem !== undefined) problems['metadata'] = problem
  if (Object.keys(problems).length > 0) throw atFields(problems)
  const { slug, updatedAt } = await tenantOf(record!.id())
  const seen: unknown = request.payload?.['updatedAt']
  if (typeof seen === 'string' && seen !== updatedAt.toISOString()) throw notice(STALE)
  try {
    await tenancy.updateTenant(slug, {
      name: values.name ?? '',
      ...(values.metadata === undefined ? {} : { metadata: facts ?? {} }),
      // What is left empty stays as it is.
      connectionString: values.connectionString,
      provisioningConnectionString: values.provisioningConnectionString,
    })
  } catch (error) {
    throw problemsAt(error, FIELDS)
  }
  const fresh = (await resource.findOne(record!.id(), context)) ?? record!
  const redirectUrl = h.recordActionUrl({ resourceId: resource.id(), recordId: record!.id(), actionName: 'show' })
  return { record: fresh.toJSON(currentAdmin), notice: { type: 'success', message: 'tenantChanged', options: { slug } }, redirectUrl }
}

/** What the form sends: text, or nothing. A password keeps its spaces. */
function valuesOf({ payload }: ActionRequest): { values: Partial<Record<Field, string>>; problems: FieldProblems } {
  const values: Partial<Record<Field, string>> = {}
  const problems: FieldProblems = {}
  for (const field of new Set(Object.values(FIELDS))) {
    const given: unknown = payload?.[field]
    if (given === undefined || given === null) continue
    if (typeof given !== 'string') problems[field] = { type: 'invalid', message: 'Not a single value' }
    else if (given.length > LENGTH_MAX && field !== 'metadata')
      problems[field] = { type: 'invalid', message: `At most ${LENGTH_MAX} characters` }
    else {
      const value = field === 'adminPassword' ? given : given.trim()
      if (value !== '') values[field] = value
    }
  }
  return { values, problems }
}

/** That it is an object is checked where the other ways in check it. */
function metadataOf(text: string | undefined): { facts?: Record<string, unknown>; problem?: FieldProblems[string] } {
  if (text === undefined) return {}
  try {
    return { facts: JSON.parse(text) as Record<string, unknown> }
  } catch {
    return { problem: { type: 'invalid', message: 'Invalid JSON' } }
  }
}
