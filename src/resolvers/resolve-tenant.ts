import { TenantEvidenceConflictError, TenantInvalidError } from '../errors.ts'
import { parseSlug, type Slug } from '../naming.ts'
import type { RequestEvidence, ResolveTenant, TenantResolver } from './evidence.ts'

type Found = { readonly name: string; readonly slug: Slug }

/**
 * Asks every resolver and gives the one tenant they name, as a checked slug; undefined when none names any.
 *
 * No resolver beats another: all are asked, and order does not count.
 * Throws `TENANT_INVALID` when any evidence is malformed, even beside good evidence; then `TENANT_EVIDENCE_CONFLICT` when two name
 * different tenants. Any other error of a resolver goes first, as it is (a bad token is a 401 before all else).
 *
 * @example
 * const slug = await resolveTenant([fromToken(), fromHeader()], { header: name => ctx.req.headers[name], claims })
 */
export async function resolveTenant(
  resolvers: readonly (TenantResolver | ResolveTenant)[],
  evidence: RequestEvidence,
): Promise<Slug | undefined> {
  const answers = await Promise.allSettled(resolvers.map((resolver, index) => ask(resolver, index, evidence)))
  const errors = answers.flatMap(answer => (answer.status === 'rejected' ? [answer.reason as unknown] : []))
  if (errors.length > 0) throw errors.find(error => !(error instanceof TenantInvalidError)) ?? errors[0]
  const found = answers.flatMap(answer => (answer.status === 'fulfilled' && answer.value !== undefined ? [answer.value] : []))
  if (new Set(found.map(({ slug }) => slug)).size > 1) throw new TenantEvidenceConflictError(found.map(({ name }) => name))
  return found[0]?.slug
}

async function ask(resolver: TenantResolver | ResolveTenant, index: number, evidence: RequestEvidence): Promise<Found | undefined> {
  const answer = typeof resolver === 'function' ? await resolver(evidence) : await resolver.resolve(evidence)
  if (answer === undefined || answer === null) return undefined
  // Not handed on as it is: turning an odd object into the text of a message may throw.
  if (typeof answer !== 'string') throw new TenantInvalidError(`an answer of the type ${typeof answer}`)
  return { name: resolver.name || `resolver ${index + 1}`, slug: parseSlug(answer) }
}
