/** Whether the sealed history of the control plane and of each tenant still says what it said when it was sealed. */
import { counted } from '../errors.ts'
import type { TenancyHistory } from '../tenancy-history.ts'
import { fine, some, warning, wrong, type Observation } from './finding.ts'

export interface HistoryCheckOptions {
  readonly history: TenancyHistory
}

/** Of each plane only the newest are looked at: what was looked at yesterday takes its time again today. */
const NEWEST = 100_000
/** So many events are not sealed where the sealer runs now and then. */
const UNSEALED = 10_000

/** The one check that visits every tenant, since the events stand there. */
export async function sealedHistory({ history }: HistoryCheckOptions): Promise<Observation[]> {
  const planes = await history.verify({ newest: NEWEST })
  const unread = planes.flatMap(plane => (plane.error === undefined ? [] : [`${plane.plane} (${plane.error.code})`]))
  const verified = planes.filter(plane => plane.error === undefined)
  const broken = verified.flatMap(({ plane, break: found }) => (found === null ? [] : [`${plane} (${found.kind} at ${found.position})`]))
  const late = verified.filter(({ unsealed }) => unsealed >= UNSEALED).map(({ plane }) => plane)
  const observations: Observation[] = []
  if (broken.length > 0)
    observations.push(wrong(`changed after it was sealed: ${some(broken)}`, 'Compare with a backup, and ask who may write there by SQL.'))
  if (unread.length > 0) observations.push(wrong(`could not be read: ${some(unread)}`, 'Run: npx tenantkit migrate, or see why not.'))
  if (late.length > 0)
    observations.push(warning(`${UNSEALED} events or more are not sealed: ${some(late)}`, 'Call tenancy.history.seal() by a timer.'))
  if (observations.length > 0) return observations
  const checked = verified.reduce((total, plane) => total + plane.checked, 0)
  return [fine(`as they were sealed: ${counted(checked, 'event')} in ${counted(verified.length, 'plane')}`)]
}
