/** A context as plain data, for a worker thread or a queue of the same application, where AsyncLocalStorage does not reach. */
import { ValidationFailedError, type FieldError } from '../errors.ts'
import { currentContext, currentTenant, type Actor } from './context.ts'

/** What `handOver()` gives: it survives `postMessage` and JSON, and holds neither secrets nor an EntityManager. */
export interface HandedOver {
  readonly tenant: { readonly id: string; readonly slug: string }
  readonly actor?: HandedOverActor
  readonly requestId?: string
}

/** An actor as plain data. */
export interface HandedOverActor {
  readonly plane: Actor['plane']
  readonly id: string
  readonly label: string
  readonly permissions?: readonly string[]
}

/**
 * The active tenant, actor and request id as plain data, for `tenancy.runHandedOver` in another thread.
 *
 * The permissions are those of this moment. Whoever can write the data can choose them: send it within the application, never take it from
 * a client or from a queue that others write to.
 *
 * @throws NO_TENANT_CONTEXT where no tenant is active.
 * @example worker.postMessage({ job: 'report', context: handOver() })
 */
export function handOver(): HandedOver {
  const { id, slug } = currentTenant()
  const { actor, requestId } = currentContext()!
  return Object.freeze({
    tenant: Object.freeze({ id, slug }),
    ...(actor === undefined ? {} : { actor: plainActor(actor) }),
    ...(requestId === undefined ? {} : { requestId }),
  })
}

/** What `parseHandedOver` gives. */
export interface ParsedHandOver {
  readonly tenant: { readonly id: string; readonly slug: string }
  readonly actor: Actor | undefined
  readonly requestId: string | undefined
}

/** Reads what `handOver()` gave. @throws VALIDATION_FAILED */
export function parseHandedOver(given: unknown): ParsedHandOver {
  const errors: FieldError[] = []
  const refuse = (path: string, message: string): undefined => void errors.push({ path, message })
  const text = (value: unknown, path: string): string =>
    (typeof value === 'string' && value !== '' ? value : refuse(path, 'must be a text that is not empty')) ?? ''
  const known = (value: object, path: string, keys: readonly string[]): void => {
    for (const key of Object.keys(value)) if (!keys.includes(key)) refuse(`${path}${key}`, 'is not known')
  }
  const whole = objectOf(given) ?? refuse('', 'must be what handOver() gave')
  const tenant = objectOf(whole?.['tenant']) ?? refuse('tenant', 'must be an object')
  if (whole !== undefined) known(whole, '', ['tenant', 'actor', 'requestId'])
  if (tenant !== undefined) known(tenant, 'tenant.', ['id', 'slug'])
  const requestId = whole?.['requestId'] === undefined ? undefined : text(whole['requestId'], 'requestId')
  const parsed = { id: text(tenant?.['id'], 'tenant.id'), slug: text(tenant?.['slug'], 'tenant.slug') }
  const actor = whole?.['actor'] === undefined ? undefined : readActor(whole['actor'])
  if (errors.length > 0) throw new ValidationFailedError(errors, 'Pass what handOver() gave, unchanged.')
  return { tenant: parsed, actor, requestId }

  function readActor(value: unknown): Actor | undefined {
    const found = objectOf(value)
    if (found === undefined) return refuse('actor', 'must be an object')
    known(found, 'actor.', ['plane', 'id', 'label', 'permissions'])
    const { plane, permissions } = found
    if (plane !== 'global' && plane !== 'tenant' && plane !== 'system') refuse('actor.plane', 'must be global, tenant or system')
    const list = permissions === undefined || isTexts(permissions) ? permissions : refuse('actor.permissions', 'must be a list of texts')
    return Object.freeze({
      plane: plane as Actor['plane'],
      id: text(found['id'], 'actor.id'),
      label: text(found['label'], 'actor.label'),
      ...(list === undefined ? {} : { permissions: new Set(list) }),
    })
  }
}

function plainActor({ plane, id, label, permissions }: Actor): HandedOverActor {
  return Object.freeze({ plane, id, label, ...(permissions === undefined ? {} : { permissions: Object.freeze([...permissions]) }) })
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(each => typeof each === 'string')
}
