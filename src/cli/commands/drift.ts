/** `tenantkit drift`: are the tenants' tables still what the migrations made? */
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
    'Compare the tables of each tenant with what its migrations make',
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
        progress?.step(tenant, status === 'same' ? undefined : (error ?? `differs in ${differences.length} objects`)),
    }),
  )
  progress?.end()
  const drifted = report.tenants.filter(({ status }) => status === 'drifted').length
  const failed = report.tenants.length - drifted
  const summary = `${report.compared} tenants, ${report.same} as they should be, ${drifted} drifted, ${failed} not compared, ${report.behind} behind`
  const lines = [...report.tenants.flatMap(found => linesOf(output, found)), summary]
  if (report.tenants.length > 0) {
    const hint = 'Undo the change by hand, or write a migration that makes it everywhere; `+` is there and not expected, `-` is missing.'
    throw new CommandFailedError('DRIFT_FOUND', `${drifted} tenants drifted, ${failed} could not be compared.`, hint, { ...report }, lines)
  }
  if (report.behind > 0 && strict) {
    const message = `${report.behind} tenants are not at the last migration (--strict).`
    throw new CommandFailedError('DRIFT_FOUND', message, 'Run: npx tenantkit migrate', { ...report }, lines)
  }
  if (report.behind > 0) output.say(`${output.paintError('yellow', 'warning')}: ${report.behind} tenants are not at the last migration`)
  output.result({ ok: true, ...report }, () => lines)
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
