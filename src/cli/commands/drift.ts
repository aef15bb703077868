/** `tenantkit drift`: are the tables of the control plane and the tenants still what the migrations made? */
import { counted } from '../../errors.ts'
import type { Tenancy } from '../../tenancy.ts'
import type { Output } from '../output.ts'
import type { Progress } from '../progress.ts'
import { CommandFailedError } from '../problem.ts'
import type { Session } from '../session.ts'
import { listOf, type Register } from './command.ts'

type Report = Awaited<ReturnType<Tenancy['drift']>>
type Found = Report['tenants'][number]

export const drift: Register = (program, choose) =>
  program.command(
    'drift',
    'Compare the tables of the control plane and of each tenant with what their migrations make',
    command =>
      command
        .option('tenant', { type: 'string', requiresArg: true, describe: 'Only these tenants: slugs, separated by commas' })
        .option('strict', { type: 'boolean', default: false, describe: 'Fail on tenants that are behind, too' })
        .check(({ tenant }) => {
          if (listOf(tenant)?.length === 0) throw new Error('--tenant names no tenant.')
          return true
        })
        .example('$0 drift', 'every tenant, object by object where one differs'),
    ({ tenant, strict }) => choose(session => run(session, listOf(tenant), strict)),
  )

async function run(session: Session, tenants: readonly string[] | undefined, strict: boolean): Promise<void> {
  const { output } = session
  let progress: Progress | undefined
  const report = await session.asSystem(tenancy =>
    tenancy.drift({
      tenants,
      total: count => void (progress = output.progress('Comparing', 'tenants', count)),
      compared: ({ tenant, status, error, differences }) =>
        progress?.step(tenant, status === 'same' ? undefined : (error ?? `differs in ${counted(differences.length, 'object')}`)),
    }),
  )
  progress?.end()
  const drifted = report.tenants.filter(({ status }) => status === 'drifted').length
  const failed = report.tenants.length - drifted
  const behind = `${counted(report.behind, 'tenant')} ${report.behind === 1 ? 'is' : 'are'} not at the last migration`
  const { shared } = report
  const summary = `${counted(report.compared, 'tenant')}, ${report.same} as they should be, ${drifted} drifted, ${failed} not compared, ${report.behind} behind${shared === undefined || shared.status !== 'same' ? '' : '; the control plane is as it should be'}`
  const lines = [
    ...(shared === undefined ? [] : sharedLines(output, shared)),
    ...report.tenants.flatMap(found => linesOf(output, found)),
    summary,
  ]
  const isBad = shared?.status === 'drifted' || shared?.status === 'failed' || (strict && shared?.status === 'unknown')
  if (report.tenants.length > 0 || isBad) {
    const hint = 'Undo the change by hand, or write a migration that makes it everywhere; `+` is there and not expected, `-` is missing.'
    const parts = [
      isBad ? `The control plane ${shared?.status === 'drifted' ? 'drifted' : 'could not be compared'}.` : '',
      report.tenants.length > 0 ? `${counted(drifted, 'tenant')} drifted, ${failed} could not be compared.` : '',
    ]
    throw new CommandFailedError('DRIFT_FOUND', parts.filter(Boolean).join(' '), hint, { ...report }, lines)
  }
  if (report.behind > 0 && strict)
    throw new CommandFailedError('DRIFT_FOUND', `${behind} (--strict).`, 'Run: npx tenantkit migrate', { ...report }, lines)
  if (report.behind > 0) output.say(`${output.paintError('yellow', 'warning')}: ${behind}`)
  output.result({ ok: true, ...report }, () => lines)
}

function sharedLines(output: Output, { status, version, differences, reason }: NonNullable<Report['shared']>): string[] {
  const heading = `${output.paint('bold', 'control plane')} (${version ?? 'no migration'})`
  if (status === 'unknown' || status === 'failed') return [`${heading}: ${output.paint('yellow', `not compared: ${reason ?? ''}`)}`]
  return status === 'same' ? [] : [heading, ...differences.flatMap(each => differenceLines(output, each))]
}

function linesOf(output: Output, { tenant, version, error, differences }: Found): string[] {
  const heading = `${output.paint('bold', tenant)} (${version ?? 'no migration'})`
  if (error !== undefined) return [`${heading}: ${output.paint('red', `not compared: ${error}`)}`]
  return [heading, ...differences.flatMap(each => differenceLines(output, each))]
}

function differenceLines(output: Output, { kind, object, expected, actual }: Found['differences'][number]): string[] {
  const said = (definition: string | undefined): string => (definition ?? '').replace(/\s+/g, ' ').trim()
  if (kind === 'added') return [`  ${output.paint('green', '+')} ${object}: ${said(actual)}`]
  if (kind === 'missing') return [`  ${output.paint('red', '-')} ${object}: ${said(expected)}`]
  return [`  ${output.paint('yellow', '~')} ${object}`, `      expected ${said(expected)}`, `      found    ${said(actual)}`]
}
