/** What stands beneath a tenant: its settings and its invitations, as plain forms. The workflow of invitations is not here. */
import type { ActionContext, ActionRequest } from 'adminjs'
import { atFields, type FieldProblems } from './adapter/problems.ts'
import type { AdminResourceOptions } from './options.ts'
import { personOf } from './person.ts'
import type { RegistryRules } from './registry-rules.ts'

const WRITE = ['tenants:write'] as const
const NEEDS = {
  new: WRITE,
  edit: WRITE,
  delete: WRITE,
  bulkDelete: WRITE,
  restore: WRITE,
  restore_selected: WRITE,
  hard_delete: ['tenants:purge'],
  hard_delete_selected: ['tenants:purge'],
} as const

/** `accepted` is what the invited person makes of it. */
const STATUSES = ['pending', 'revoked', 'expired'] as const
const EMAIL = /^[^\s@\0]+@[^\s@\0]+$/
const KEY = /^[A-Za-z][A-Za-z0-9_.:-]*$/

/** What the panel is told of settings, unless the application says otherwise. */
export const settingResource: AdminResourceOptions = { list: ['key', 'tenant', 'value', 'updatedAt'], title: 'key' }

/** What the panel is told of invitations. Of their tokens a hash is kept, and it is shown nowhere. */
export const invitationResource: AdminResourceOptions = {
  list: ['email', 'tenant', 'status', 'expiresAt'],
  title: 'email',
  readOnly: ['acceptedAt', 'acceptedBy'],
  values: { status: [...STATUSES] },
}

export function settingRules(): RegistryRules {
  const check = (payload: Readonly<Record<string, unknown>>): FieldProblems =>
    'key' in payload && !matches(payload['key'], KEY) ? { key: invalid('A letter, then letters, digits and . _ : -') } : {}
  return { needs: NEEDS, isEdited: true, actions: checked(check, 'tenant') }
}

export function invitationRules(): RegistryRules {
  const check = (payload: Readonly<Record<string, unknown>>): FieldProblems => ({
    ...('email' in payload && !matches(payload['email'], EMAIL) ? { email: invalid('Not an email address') } : {}),
    ...(payload['status'] != null && payload['status'] !== '' && !STATUSES.includes(payload['status'] as never)
      ? { status: invalid(`One of ${STATUSES.join(', ')}`) }
      : {}),
  })
  return { needs: NEEDS, isEdited: true, actions: checked(check, 'tenant') }
}

/** Checks what a form sends before anything is written. On `edit`, `fixed` stays: a row does not move to another tenant. */
function checked(check: (payload: Readonly<Record<string, unknown>>) => FieldProblems, fixed: string): RegistryRules['actions'] & {} {
  const before =
    (isEdit: boolean) =>
    (request: ActionRequest, { record, currentAdmin }: ActionContext) => {
      // AdminJS asks the hooks before it asks who it is: who may not write learns nothing here.
      if (request.method !== 'post' || personOf(currentAdmin)?.permissions.includes(WRITE[0]) !== true) return request
      const payload: Record<string, unknown> = { ...request.payload }
      if (isEdit && fixed in payload && payload[fixed] !== record?.param(fixed)) throw atFields({ [fixed]: invalid('Cannot be changed') })
      if (typeof payload['email'] === 'string') payload['email'] = payload['email'].trim().toLowerCase()
      if (isEdit && record?.param('status') === 'accepted') throw atFields({ status: invalid('It was accepted, and stays so') })
      const problems = check(payload)
      if (Object.keys(problems).length > 0) throw atFields(problems)
      return { ...request, payload }
    }
  return { new: { before: [before(false)] }, edit: { before: [before(true)] } }
}

function matches(value: unknown, pattern: RegExp): boolean {
  return typeof value === 'string' && pattern.test(value)
}

function invalid(message: string): FieldProblems[string] {
  return { type: 'invalid', message }
}
