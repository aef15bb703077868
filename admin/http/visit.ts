/** Who sends a request, and where: the session's account, reloaded from its own store, in the control plane or in a tenant. */
import type { Actor } from '../../src/context/context.ts'
import { NotFoundError, UnauthenticatedError } from '../../src/errors.ts'
import type { Tenancy } from '../../src/tenancy.ts'
import { TenancyError } from '../../src/tenancy-error.ts'
import type { TenantRecord } from '../../src/tenants/directory.ts'
import { LANGUAGES } from '../locale/words.ts'
import type { AdminAccounts } from '../accounts.ts'
import type { AdminPerson } from '../person.ts'
import type { AdminSession } from '../sessions.ts'
import type { Mode } from '../site.ts'

/** A request that is let in. */
export interface Visit {
  readonly mode: Mode
  readonly person: AdminPerson
  /** Runs work in the context of the request. */
  run<T>(work: () => Promise<T>): Promise<T>
}

/** What a request meets that has no place here yet. */
export type Elsewhere = { readonly goTo: 'own tenant'; readonly slug: string } | { readonly goTo: 'enter'; readonly slug: string }

/** What visits are decided with. */
export interface VisitRules {
  readonly tenancy: Tenancy
  readonly accounts: AdminAccounts
  readonly tenantMs: number
}

/** The operator of a session. @throws UNAUTHENTICATED when the account is gone */
export async function operatorOf({ tenancy, accounts }: VisitRules, session: AdminSession): Promise<Actor> {
  const account = await tenancy.runAsSystem('admin-accounts', () => accounts.byId(session.userId, 'global'))
  if (session.plane !== 'global' || account === undefined) throw new UnauthenticatedError()
  return { plane: 'global', id: account.id, label: account.label, permissions: account.permissions }
}

/**
 * Lets a session into the control plane (no slug) or a tenant. A tenant that does not exist and one that is not the visitor's are the same.
 *
 * @throws UNAUTHENTICATED, NOT_FOUND, TENANT_SUSPENDED, TENANT_ARCHIVED, TENANT_NOT_READY
 */
export async function visitOf(
  rules: VisitRules,
  session: AdminSession,
  csrf: string,
  slug: string | undefined,
): Promise<Visit | Elsewhere> {
  if (session.plane === 'tenant') return localVisit(rules, session, csrf, slug)
  const actor = await operatorOf(rules, session)
  if (slug === undefined) return visit('global', actor, csrf, undefined, work => rules.tenancy.runAsActor(actor, work))
  const record = await enterable(rules.tenancy, actor, slug)
  const entered = session.entered[record.ref.id]
  if (entered === undefined || entered + rules.tenantMs <= Date.now()) return { goTo: 'enter', slug }
  return visit('tenant', actor, csrf, record, work => rules.tenancy.runInTenant(record, work, { actor }))
}

/** The tenant that an operator may enter. @throws NOT_FOUND, TENANT_SUSPENDED, TENANT_ARCHIVED, TENANT_NOT_READY */
export async function enterable(tenancy: Tenancy, actor: Actor, slug: string): Promise<TenantRecord> {
  if (actor.permissions?.has('tenants:enter') !== true) throw new NotFoundError('page')
  const record = await tenancy.find(slug)
  if (record === undefined) throw new NotFoundError('page')
  tenancy.assertServing(record)
  return record
}

async function localVisit(
  { tenancy, accounts }: VisitRules,
  session: AdminSession,
  csrf: string,
  slug: string | undefined,
): Promise<Visit | Elsewhere> {
  const own = session.tenantSlug ?? ''
  if (slug === undefined) return { goTo: 'own tenant', slug: own }
  if (slug !== own) throw new NotFoundError('page')
  const record = await tenancy.find(own)
  // A slug is free again after purging: the same name may be somebody else by now.
  if (record === undefined || record.ref.id !== session.tenantId) throw new UnauthenticatedError()
  const account = await inTenant(() => tenancy.runInTenant(record, () => accounts.byId(session.userId, 'tenant')))
  if (account === undefined) throw new UnauthenticatedError()
  const actor: Actor = { plane: 'tenant', id: account.id, label: account.label, permissions: account.permissions }
  return visit('tenant', actor, csrf, record, work => tenancy.runInTenant(record, work, { actor }))
}

/** A local user is told that the tenant is closed, and nothing of its status. */
async function inTenant<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof TenancyError && error.code.startsWith('TENANT_')) throw new UnauthenticatedError()
    throw error
  }
}

function visit(mode: Mode, actor: Actor, csrf: string, record: TenantRecord | undefined, run: Visit['run']): Visit {
  const isGlobal = actor.plane === 'global'
  const tenant = record === undefined ? null : { slug: record.ref.slug, name: record.ref.name }
  const person: AdminPerson = {
    id: actor.id,
    email: actor.label,
    title: tenant?.name ?? 'Control plane',
    mode,
    tenant,
    isGlobal,
    isVisitor: isGlobal && mode === 'tenant',
    language: LANGUAGES[0],
    permissions: [...(actor.permissions ?? [])],
    csrf,
  }
  return { mode, person, run }
}
