/** What `tenantkit migrate --plan` says to a human. */
import { counted } from '../../errors.ts'
import type { Tenancy } from '../../tenancy.ts'
import { table, type Output } from '../output.ts'

type Plan = Awaited<ReturnType<Tenancy['fleet']['plan']>>
type Planned = Plan['shared'][number]

export function planLines(output: Output, { shared, tenant, groups, behind, statements }: Plan): string[] {
  if (shared.length === 0 && behind === 0) return ['Nothing to do.']
  const rows = groups.map(each => [each.version ?? '(none)', each.isolation, String(each.tenants), pending(each.pending)])
  return [
    ...shared.flatMap(each => migrationLines(output, 'control plane', each)),
    ...tenant.flatMap(each => migrationLines(output, 'each tenant', each)),
    ...table(['version', 'isolation', 'tenants', 'pending'], rows),
    `${counted(shared.length, 'migration')} of the control plane; ${counted(behind, 'tenant')} behind; ${counted(statements, 'statement')}`,
  ]
}

function pending(names: readonly string[] | null): string {
  return names === null ? 'to be looked at in each' : String(names.length)
}

function migrationLines(output: Output, where: string, planned: Planned): string[] {
  const { name, statements, database_statements: own, transactional, online, destructive } = planned
  const marks = [
    ...(online ? ['online'] : []),
    ...(transactional ? [] : ['in no transaction']),
    ...(destructive ? [output.paint('red', 'LOSES DATA')] : []),
  ]
  return [
    `${output.paint('bold', name)} on ${where}${marks.length === 0 ? '' : ` (${marks.join(', ')})`}`,
    ...(statements === null ? ['  code, which tells its SQL only when it runs'] : statements.map(sql => `  ${sql};`)),
    ...(own === undefined ? [] : ['  and in a database of its own:', ...own.map(sql => `    ${sql};`)]),
    '',
  ]
}
