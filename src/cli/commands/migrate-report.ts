/** What is said of a migration run: on the way, and at its end. */
import { counted } from '../../errors.ts'
import type { Tenancy } from '../../tenancy.ts'
import type { Output } from '../output.ts'
import { CommandFailedError } from '../problem.ts'

export type Scope = 'shared' | 'tenant' | 'all'
type Report = Awaited<ReturnType<Tenancy['migrate']>>
type OnProgress = NonNullable<NonNullable<Parameters<Tenancy['migrate']>[0]>['onProgress']>

/** So many tenants are named in a message; all are in the document. */
const NAMED = 10
/** From so many on, single tenants that went well are not listed for humans. */
const LISTED = 200

/** Says at once what fails, and after each tenth how far it has come. */
export function watched(output: Output): OnProgress {
  let said = 0
  return ({ outcome, done, total }) => {
    if (outcome.status === 'failed') output.say(`${output.paintError('red', 'failed')} ${outcome.tenant}: ${outcome.error ?? ''}`)
    const tenth = Math.floor((done * 10) / total)
    if (tenth > said && total >= LISTED) output.say(`${done} of ${counted(total, 'tenant')}`)
    said = Math.max(said, tenth)
  }
}

/** Prints the result. @throws MIGRATION_FAILED unless every tenant went well */
export function reportMigration(output: Output, scope: Scope, report: Report): void {
  const { shared, tenants, run } = report
  const failed = tenants.filter(({ status }) => status === 'failed').map(({ tenant }) => tenant)
  const lines = linesOf(output, scope, report, failed.length)
  const document = { shared, tenants, ...(run === undefined ? {} : { run }) }
  if (failed.length === 0 && (run?.pending ?? 0) === 0) return output.result(document, () => lines)
  const some = `${failed.slice(0, NAMED).join(', ')}${failed.length > NAMED ? ' …' : ''}`
  const failures = failed.length === 0 ? '' : `${failed.length} of ${counted(tenants.length, 'tenant')} failed: ${some}.`
  const left =
    run === undefined || run.pending === 0
      ? ''
      : `The run stopped (${run.reason ?? 'interrupted'}); ${counted(run.pending, 'tenant')} not begun.`
  const hint = `What was applied stays. Mend the cause, then go on: ${run === undefined ? 'tenantkit migrate' : `tenantkit migrate:resume ${run.id}`}`
  throw new CommandFailedError('MIGRATION_FAILED', [failures, left].filter(Boolean).join(' '), hint, document, lines)
}

function linesOf(output: Output, scope: Scope, { shared, tenants, run }: Report, failed: number): string[] {
  const names = (list: readonly string[]): string => (list.length === 0 ? output.paint('dim', 'up to date') : list.join(', '))
  const listed = tenants.length < LISTED ? tenants : tenants.filter(({ status }) => status === 'failed')
  return [
    ...(scope === 'tenant' ? [] : [`control plane: ${names(shared)}`]),
    ...listed.map(
      each => `${each.tenant}: ${each.status === 'failed' ? output.paint('red', `FAILED ${each.error ?? ''}`) : names(each.names)}`,
    ),
    ...(scope === 'shared' ? [] : [`${counted(tenants.length, 'tenant')}, ${tenants.length - failed} succeeded, ${failed} failed`]),
    ...(run === undefined ? [] : [`run ${run.id}: ${run.status}${run.pending === 0 ? '' : `, ${run.pending} not begun`}`]),
  ]
}
