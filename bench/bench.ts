/** What all groups measure on: the server, a fleet of tenants, and a database without any. */
import { query, openPlace } from './harness/place.ts'
import type { Bench, Group, Sizes } from './harness/group.ts'
import { Fleet } from './fleet.ts'
import { fillSql } from './model.ts'

/** A bench that is set up; dispose it. */
export interface OpenBench extends Bench, AsyncDisposable {
  /** Of the server. */
  readonly version: string
}

/** The table that {@link fillSql} fills, as MikroORM would make it. */
const PLAIN_TABLE = `create table item (id uuid primary key, title varchar(255) not null, amount int not null, note text null,
  created_at timestamptz(3) not null, created_by varchar(255) not null, updated_at timestamptz(3) not null, updated_by varchar(255) not null,
  deleted_at timestamptz(3) null, deleted_by varchar(255) null);
  create index on item (title);`

/** Starts the server and makes the tenants that the groups need. */
export async function openBench(sizes: Sizes, groups: readonly Group[], secret: string, say: (line: string) => void): Promise<OpenBench> {
  const stack = new AsyncDisposableStack()
  try {
    const place = stack.use(await openPlace())
    const fleet = stack.use(await Fleet.make(place, 'bench', { tables: sizes.tables }))
    const wanted = groups.map(group => group.tenants(sizes))
    const most = (kind: 'schemas' | 'databases'): number => Math.max(0, ...wanted.map(each => each[kind]))
    say(`provisioning ${most('schemas')} schema tenants and ${most('databases')} database tenants`)
    const schemas = await fleet.schemaTenants(most('schemas'))
    const databases = await fleet.databaseTenants(most('databases'))
    const plainUrl = await place.database('plain')
    await query(plainUrl, `${PLAIN_TABLE} ${fillSql('item')}`)
    const [server] = await query<{ version: string }>(place.url, `select current_setting('server_version') as version`)
    // What the set-up wrote is on the disk before anything is measured.
    await query(place.url, 'checkpoint').catch(() => say('no checkpoint: the role may not'))
    const open = stack.move()
    const version = server!.version
    return { sizes, place, fleet, schemas, databases, plainUrl, secret, say, version, [Symbol.asyncDispose]: () => open.disposeAsync() }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}
