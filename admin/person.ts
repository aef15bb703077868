/** Who uses the panel, as the pages know it. Nothing here is a secret but the form token, which the page needs. */
import type { CurrentAdmin } from 'adminjs'
import type { Language } from './locale/words.ts'

/** AdminJS's `currentAdmin` in this back office. */
export interface AdminPerson extends CurrentAdmin {
  readonly id: string
  readonly email: string
  /** `global` in the control plane, `tenant` in a tenant. */
  readonly mode: 'global' | 'tenant'
  readonly tenant: { readonly slug: string; readonly name: string } | null
  /** Whether an operator of the control plane visits the tenant. */
  readonly isVisitor: boolean
  readonly isGlobal: boolean
  readonly language: Language
  readonly permissions: readonly string[]
  /** What every form sends back. */
  readonly csrf: string
}

/** `currentAdmin`, as far as it is one of ours. */
export function personOf(admin: CurrentAdmin | undefined): AdminPerson | undefined {
  return admin !== undefined && 'mode' in admin ? (admin as AdminPerson) : undefined
}
