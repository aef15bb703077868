/** `tenancy.provision` against what PostgreSQL needs for the same by itself. */
import { escapeIdentifier } from 'pg'
import type { Tenancy } from 'mikro-tenantkit'
import { Migrations } from '../../src/migrations/migrations.ts'
import { frameworkName, parseIdentifier } from '../../src/naming.ts'
import { classifyOptions } from '../../src/options.ts'
import { schemaScript } from '../../src/strategies/schema-strategy.ts'
import type { TenantScript } from '../../src/strategies/isolation-strategy.ts'
import { REGISTRY_ENTITIES } from '../../src/tenants/entities.ts'
import { Fleet, optionsOf } from '../fleet.ts'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { query, withClient } from '../harness/place.ts'
import { rowOf, type Goal, type Row } from '../harness/report.ts'
import { alternate, timed } from '../harness/rounds.ts'
import { median } from '../harness/statistics.ts'

/** Rounds that are not counted: templates, caches and compiled code come to be. */
const WARM_UP = 2
const SCHEMA_GOAL: Goal = { op: '<=', value: 1.5 }
const DATABASE_GOAL: Goal = { op: '<=', value: 2.5 }
const SOME_ID = '00000000-0000-7000-8000-000000000000'

/** Milliseconds of one side of one round, and those of it without opening the connection. */
interface Took {
  readonly all: number
  readonly connected: number
}

export const provisioning: Group = {
  name: 'provisioning',
  tenants: () => ({ schemas: 0, databases: 0 }),
  async prepare(bench): Promise<Prepared> {
    const fleet = await Fleet.make(bench.place, 'made', { tables: bench.sizes.provisionedTables })
    const script = await scriptOf(fleet)
    return { measure: () => measure(bench, fleet, script), [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose]() }
  },
}

async function measure(bench: Bench, { plan, tenancy }: Fleet, script: TenantScript): Promise<readonly Row[]> {
  const { sizes, place, say } = bench
  say(`provisioning tenants of ${plan.tables} tables`)
  let number = 0
  const schema = await pairs(
    sizes.fewRounds,
    () => provision(tenancy, `s${number++}x`, 'schema'),
    () => send(plan.url, schemaScript(parseIdentifier(`${plan.prefix}_by_hand_${number++}`), SOME_ID, script)),
  )
  await provision(tenancy, 'first', 'database')
  const template = await templateOf(place.url, plan.prefix)
  const database = await pairs(
    sizes.fewRounds,
    () => provision(tenancy, `d${number++}x`, 'database'),
    () => send(place.url, `create database ${plan.prefix}_by_hand_${number++} template ${escapeIdentifier(template)} strategy wal_log`),
  )
  return [
    row(`provision a schema tenant of ${plan.tables} tables against its DDL as one string`, SCHEMA_GOAL, schema),
    row('provision a database tenant against a bare CREATE DATABASE', DATABASE_GOAL, database),
  ]
}

async function pairs(rounds: number, ours: () => Promise<Took>, bare: () => Promise<Took>): Promise<readonly (readonly Took[])[]> {
  await alternate(WARM_UP, [ours, bare])
  return alternate(rounds, [ours, bare])
}

/** Both sides open the connections that they need: a tenant is seldom made by a process that has one open to the maintenance database. */
function row(name: string, goal: Goal, rounds: readonly (readonly Took[])[]): Row {
  return rowOf({
    name,
    unit: 'ms',
    goal,
    pairs: rounds.map(([a, b]) => ({ a: a!.all, b: b!.all })),
    details: {
      b_ms_on_an_open_connection: median(rounds.map(([, b]) => b!.connected)),
      ratio_against_an_open_connection: median(rounds.map(([a, b]) => a!.all / b!.connected)),
    },
  })
}

async function provision(tenancy: Tenancy, slug: string, isolation: 'schema' | 'database'): Promise<Took> {
  const all = await timed(() => tenancy.runAsSystem('bench', () => tenancy.provision({ slug, name: slug, isolation })))
  return { all, connected: all }
}

async function send(url: string, sql: string): Promise<Took> {
  let connected = 0
  const all = await timed(() =>
    withClient(url, async client => {
      connected = await timed(() => client.query(sql))
    }),
  )
  return { all, connected }
}

/** What provisioning runs in a new schema, from the same code. */
async function scriptOf(fleet: Fleet): Promise<TenantScript> {
  const options = optionsOf(fleet.plan)
  const migrations = new Migrations({
    entities: classifyOptions(options),
    frameworkEntities: [...REGISTRY_ENTITIES],
    directUrl: fleet.plan.url,
    path: fleet.plan.migrations,
  })
  try {
    return await migrations.preparedScript('schema')
  } finally {
    await migrations.close()
  }
}

async function templateOf(url: string, prefix: string): Promise<string> {
  const found = await query<{ name: string }>(
    url,
    'select datname as name from pg_database where datistemplate and starts_with(datname, $1)',
    [frameworkName(prefix, 'template_')],
  )
  return found[0]!.name
}
