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
  const answers: Answer[] = []
  const asked = resolvers.map((resolver, index) => ask(resolver, index, evidence))
  // Most resolvers answer at once, and a request should not wait for what is there.
  for (const answer of asked) answers.push(answer instanceof Promise ? await answer : answer)
  const errors = answers.flatMap(answer => (answer !== undefined && 'error' in answer ? [answer.error] : []))
  if (errors.length > 0) throw errors.find(error => !(error instanceof TenantInvalidError)) ?? errors[0]
  const found = answers.filter((answer): answer is Found => answer !== undefined)
  if (found.some(({ slug }) => slug !== found[0]!.slug)) throw new TenantEvidenceConflictError(found.map(({ name }) => name))
  return found[0]?.slug
}

type Answer = Found | { readonly error: unknown } | undefined

/** What one resolver says; an error is an answer as well, since all are heard before any counts. */
function ask(resolver: TenantResolver | ResolveTenant, index: number, evidence: RequestEvidence): Answer | Promise<Answer> {
  const read = (answer: unknown): Answer => {
    if (answer === undefined || answer === null) return undefined
    // Not handed on as it is: turning an odd object into the text of a message may throw.
    if (typeof answer !== 'string') throw new TenantInvalidError(`an answer of the type ${typeof answer}`)
    return { name: resolver.name || `resolver ${index + 1}`, slug: parseSlug(answer) }
  }
  try {
    const answer = typeof resolver === 'function' ? resolver(evidence) : resolver.resolve(evidence)
    if (!isThenable(answer)) return read(answer)
    return Promise.resolve(answer)
      .then(read)
      .catch((error: unknown) => ({ error }))
  } catch (error) {
    return { error }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
