/**
 * What is wrong around an installation: on the server, in the catalog, between the registry and what it speaks of. Nothing is changed.
 *
 * A list of independent checks: one more is one more entry. Each but the last sends a fixed number of statements, whatever the number of
 * tenants, and names a few of many.
 */
import { assertPrefix } from '../fleet.ts'
import { Tenant } from '../tenants/entities.ts'
import { rowsOf, type DoctorContext } from './doctor-context.ts'
import { fine, warning, type Diagnostic, type Observation } from './finding.ts'
import { sealedHistory, type HistoryCheckOptions } from './history-check.ts'
import { missingResources, orphans, references } from './orphans.ts'
import { unsettled, sealedWith } from './registry-checks.ts'
import { connections, connectRights, locks, searchPath, templates, versions } from './server-checks.ts'

/** The checks, in the order in which they are run and shown. */
export function doctorChecks(context: DoctorContext & HistoryCheckOptions): readonly Diagnostic[] {
  const registry = (run: () => Promise<readonly Observation[]>) => async () =>
    (await hasRegistry(context)) ? run() : [warning('there is no registry yet', 'Run: npx tenantkit migrate')]
  return [
    { name: 'versions', run: () => versions(context) },
    { name: 'search_path', run: () => searchPath(context) },
    { name: 'connections', run: () => connections(context) },
    { name: 'naming.prefix', run: registry(() => prefix(context)) },
    { name: 'locks', run: registry(() => locks(context)) },
    { name: 'connect rights', run: registry(() => connectRights(context)) },
    { name: 'templates', run: () => templates(context) },
    { name: 'orphans', run: registry(() => orphans(context)) },
    { name: 'references', run: () => references(context) },
    { name: 'resources', run: registry(() => missingResources(context)) },
    { name: 'unsettled tenants', run: registry(() => unsettled(context)) },
    { name: 'sealed secrets', run: registry(() => sealedWith(context)) },
    { name: 'history', run: registry(() => sealedHistory(context)) },
  ]
}

async function hasRegistry(context: DoctorContext): Promise<boolean> {
  const [row] = await rowsOf<{ found: boolean }>(context, 'select pg_catalog.to_regclass(?) is not null as found', [
    `public.${Tenant.meta.tableName}`,
  ])
  return row?.found === true
}

async function prefix({ control, options }: DoctorContext): Promise<Observation[]> {
  await assertPrefix(control(), options.prefix)
  return [fine(`"${options.prefix}", as this control plane was set up with`)]
}
