/** `tenantkit migrate:status`: how the fleet stands. */
import type { Tenancy } from '../../tenancy.ts'
import { table, type Output } from '../output.ts'
import type { Register } from './command.ts'

type Status = Awaited<ReturnType<Tenancy['fleet']['status']>>

export const migrateStatus: Register = (program, choose) =>
  program.command(
    'migrate:status',
    'Show tenants by version, those that failed, and the last runs',
    command => command.example('$0 migrate:status --json', 'for a program'),
    () =>
      choose(async session => {
        const status = await session.asSystem(tenancy => tenancy.fleet.status())
        session.output.result(status, () => linesOf(session.output, status))
      }),
  )

function linesOf(output: Output, { shared, head, tenants, behind, migrating, versions, failed, runs }: Status): string[] {
  const state = (current: boolean): string => (current ? output.paint('green', 'up to date') : output.paint('yellow', 'behind'))
  const sections = [
    [
      `control plane: ${shared.pending.length === 0 ? 'up to date' : `${shared.pending.length} pending: ${shared.pending.join(', ')}`}`,
      `tenants: ${tenants}, of which ${behind} behind, ${migrating} being migrated; the last migration is ${head ?? 'none'}`,
    ],
    table(
      ['version', 'tenants', 'state'],
      versions.map(each => [each.version ?? '(none)', String(each.tenants), state(each.current)]),
    ),
    table(
      ['failed', 'version', 'attempts', 'run', 'error'],
      failed.map(each => [each.tenant, each.version ?? '(none)', String(each.attempts), each.run, output.paint('red', each.error)]),
    ),
    table(
      ['run', 'status', 'applied', 'failed', 'not begun', 'started', 'by'],
      runs.map(each => [
        each.id,
        each.status,
        `${each.applied} of ${each.total}`,
        String(each.failed),
        String(each.pending),
        each.started_at,
        each.actor,
      ]),
    ),
  ]
  return sections.filter(lines => lines.length > 0).flatMap((lines, index) => (index === 0 ? lines : ['', ...lines]))
}
