/** Accounts: log-in, and the identity behind a token. */
import { TenancyError, UnauthenticatedError, controlEm, em, permissionsOf, verifyPassword } from 'mikro-tenantkit'
import type { Actor, Tenancy, TokenClaims, Tokens } from 'mikro-tenantkit'
import type { Identity } from 'mikro-tenantkit/koa'
import { User } from './entities/user.ts'

/** What a log-in sends. */
export interface Credentials {
  readonly email: string
  readonly password: string
  readonly tenant?: string | undefined
}

/** Where a log-in comes from, for the history. */
export interface Origin {
  readonly ip: string
  readonly requestId?: string | undefined
}

interface Account {
  readonly id: string
  readonly passwordHash: string
  readonly tenant: { readonly id: string; readonly slug: string } | undefined
}

/**
 * A token for good credentials. Whatever is wrong (email, password, an unknown or suspended tenant), the answer and the work are the same.
 * The control plane's history is told of both; of a failure only what is known, and nothing that was typed.
 *
 * @throws UNAUTHENTICATED
 */
export async function logIn(tenancy: Tenancy, tokens: Tokens, given: Credentials, { ip, requestId }: Origin): Promise<string> {
  const { email, password, tenant } = given
  const address = email.trim().toLowerCase()
  const account = tenant === undefined ? await operatorAccount(tenancy, address) : await tenantAccount(tenancy, tenant, address)
  const isGood = await verifyPassword(password, account?.passwordHash)
  const plane = tenant === undefined ? 'global' : 'tenant'
  await tenancy.history.record({
    action: isGood && account !== undefined ? 'login.succeeded' : 'login.failed',
    entity: 'User',
    entityId: account?.id,
    details: { plane, tenant: account?.tenant?.slug ?? null, ip },
    actor: isGood && account !== undefined ? { plane, id: account.id } : { plane: 'system', id: 'log-in' },
    requestId,
  })
  if (!isGood || account === undefined) throw new UnauthenticatedError('The email, the password or the tenant is wrong.')
  const { id: sub, tenant: of } = account
  return tokens.sign(of === undefined ? { sub, plane: 'global' } : { sub, plane: 'tenant', tenant_id: of.id, tenant_slug: of.slug })
}

/** Turns a token into an identity. Operators are looked up at once, users of a tenant inside their tenant, by {@link actorInTenant}. */
export function verifier(tenancy: Tenancy, tokens: Tokens): (token: string) => Promise<Identity> {
  return async token => {
    const claims: TokenClaims = await tokens.verify(token)
    if (claims.plane === 'tenant') return { claims, actor: { plane: 'tenant', id: claims.sub, label: claims.sub } }
    const user = isUuid(claims.sub)
      ? await tenancy.runAsSystem('authentication', () => controlEm().findOne(User.shared, { id: claims.sub }))
      : null
    if (user === null) throw new UnauthenticatedError()
    return { claims, actor: { plane: 'global', id: user.id, label: user.email, permissions: permissionsOf('global', user.role) } }
  }
}

/** The actor with its permissions, inside the tenant. @throws UNAUTHENTICATED when a user of the tenant is gone */
export async function actorInTenant({ actor }: Identity): Promise<Actor> {
  if (actor.plane !== 'tenant') return actor
  const user = isUuid(actor.id) ? await em().findOne(User.tenant, { id: actor.id }) : null
  if (user === null) throw new UnauthenticatedError()
  return { plane: 'tenant', id: user.id, label: user.email, permissions: permissionsOf('tenant', user.role) }
}

async function operatorAccount(tenancy: Tenancy, email: string): Promise<Account | undefined> {
  const user = await tenancy.runAsSystem('log-in', () => controlEm().findOne(User.shared, { email }))
  return user === null ? undefined : { id: user.id, passwordHash: user.passwordHash, tenant: undefined }
}

async function tenantAccount(tenancy: Tenancy, slug: string, email: string): Promise<Account | undefined> {
  try {
    const tenant = await tenancy.find(slug)
    if (tenant === undefined) return undefined
    const user = await tenancy.runInTenant(tenant, () => em().findOne(User.tenant, { email }))
    return user === null ? undefined : { id: user.id, passwordHash: user.passwordHash, tenant: tenant.ref }
  } catch (error) {
    // Malformed, suspended, archived, not ready: nothing that a stranger should learn.
    if (error instanceof TenancyError && error.code.startsWith('TENANT_')) return undefined
    throw error
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether it has the form of an id. */
export function isUuid(text: unknown): text is string {
  return typeof text === 'string' && UUID.test(text)
}
