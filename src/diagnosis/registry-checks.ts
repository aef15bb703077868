/** Checks of the rows of the registry. */
import { counted } from '../errors.ts'
import { REGISTRY, rowsOf, type DoctorContext } from './doctor-context.ts'
import { SHOWN, fine, some, warning, wrong, type Observation } from './finding.ts'

const ADVICE = {
  pending: 'Run it again, or delete it: POST /api/tenants/{slug}/operations {"operation": "retry"}.',
  provisioning: 'If no process works on it any more: POST /api/tenants/{slug}/operations {"operation": "retry"}.',
  failed: 'status_reason says why; retry it, or delete it.',
  purging: 'Purge it again: npx tenantkit tenants purge <slug> --confirm "DELETE <slug>"',
} as const
type Unsettled = keyof typeof ADVICE

/** Tenants in the middle of something, or left there by a process that ended. */
export async function unsettled(context: DoctorContext): Promise<Observation[]> {
  const rows = await rowsOf<{ status: Unsettled; count: number; slugs: string[] }>(
    context,
    `select status, count(*)::int as count, (pg_catalog.array_agg(slug order by slug))[1:${SHOWN}] as slugs from ${REGISTRY}
     where status in ('pending', 'provisioning', 'failed', 'purging') group by status order by status`,
  )
  if (rows.length === 0) return [fine('every tenant is ready, suspended, archived or purged')]
  return rows.map(({ status, count, slugs }) => warning(`${count} ${status}: ${some(slugs, count)}`, ADVICE[status]))
}

/** With which keys the stored secrets are sealed. Nothing is opened. */
export async function sealedWith(context: DoctorContext): Promise<Observation[]> {
  const { keyRing } = context.options
  const rows = await rowsOf<{ id: string; count: number; slugs: string[] }>(
    context,
    `select pg_catalog.split_part(s.secret, '.', 2) as id, count(*)::int as count, (pg_catalog.array_agg(distinct t.slug))[1:${SHOWN}] as slugs
     from ${REGISTRY} t, lateral (values (t.connection_string), (t.provisioning_connection_string)) s (secret)
     where s.secret is not null and t.status <> 'purged' group by 1 order by 1`,
  )
  const unknown = rows.filter(({ id }) => !keyRing.ids.includes(id))
  const old = rows.filter(({ id }) => keyRing.ids.includes(id) && id !== keyRing.primaryId)
  const observations = [
    ...unknown.map(({ id, count, slugs }) =>
      wrong(
        `${counted(count, 'secret')} sealed with the key ${JSON.stringify(id)}, which is not in the ring: ${some(slugs)}`,
        'Add the key to TENANTKIT_ENCRYPTION_KEYS.',
      ),
    ),
    ...old.map(({ id, count }) =>
      warning(
        `${counted(count, 'secret')} sealed with the old key ${JSON.stringify(id)}`,
        'Keep it in the ring until they are sealed anew.',
      ),
    ),
  ]
  return observations.length > 0
    ? observations
    : [
        fine(
          `${counted(
            rows.reduce((sum, { count }) => sum + count, 0),
            'secret',
          )}, sealed with the first key`,
        ),
      ]
}
