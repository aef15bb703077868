/** Kills a run again and again with SIGKILL, and resumes it: what both the test and its long form do. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { databaseUrl, query, serverUrl } from '../helpers/postgres.ts'
import type { Scene } from './scene.ts'

const counted = (name: string) => `insert into "counted" ("name") values ('${name}')`

/** Each is counted in a table that takes as many rows as there come. These are sent as one message. */
export function writePure(fleet: Scene, pause: number): readonly string[] {
  const wait = `    this.addSql('select pg_sleep(${pause})')\n`
  return [
    fleet.write(101, `    this.addSql('create table "counted" ("name" text not null)')\n    this.addSql(\`${counted('101')}\`)\n${wait}`),
    fleet.write(102, `${wait}    this.addSql(\`${counted('102')}\`)\n    this.addSql('alter table "author" add column "killed" int null')`),
  ]
}

/** One of code, and one that runs in no transaction: these are run one by one. */
export function writeCode(fleet: Scene, pause: number): readonly string[] {
  return [
    fleet.write(
      103,
      `    const em = this.getEntityManager()
    await em.execute(\`${counted('103')}\`)
    await em.execute('select pg_sleep(${pause})')`,
    ),
    fleet.write(
      104,
      `    this.addSql('create index concurrently "author_killed_index" on "author" ("killed")')`,
      '  override readonly online = true\n  override isTransactional() {\n    return false\n  }',
    ),
  ]
}

/** One that only defines tables: tenants are changed several at a time, and a second time would fail. */
export function writeTables(fleet: Scene): readonly string[] {
  return [
    fleet.write(
      105,
      `    this.addSql('create table "together" ("id" int not null)')
    this.addSql('alter table "author" add column "together" int null')
    this.addSql('create index "author_together_index" on "author" ("together")')`,
    ),
  ]
}

/** What stands outside of the tenants' tables: schemas, the relations in `public` with their columns, databases and roles. */
export async function surroundings(fleet: Scene): Promise<readonly string[]> {
  const { url, prefix } = fleet.kit
  const own = `select 'schema ' || nspname as line from pg_namespace where nspname !~ '^pg_'
    union all select 'public ' || c.relname || ' ' || coalesce((select string_agg(a.attname, ',' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0), '')
      from pg_class c where c.relnamespace = 'public'::regnamespace order by 1`
  const server = await query<{ line: string }>(
    serverUrl(),
    `select 'database ' || datname as line from pg_database where starts_with(datname, $1) union all select 'role ' || rolname from pg_roles where starts_with(rolname, $1) order by 1`,
    [prefix],
  )
  const databases = fleet.slugs.filter(slug => slug.startsWith('d')).map(slug => databaseUrl(`${prefix}_${slug}`))
  const found: string[] = server.map(({ line }) => line)
  for (const each of [url, ...databases]) found.push(...(await query<{ line: string }>(each, own)).map(({ line }) => line))
  return found
}

/** Begins a run and kills its process `kills` times in the middle, then lets it end. Answers the run's id, and how many kills hit it at work. */
export async function killAndResume(
  fleet: Scene,
  { kills, concurrency, longest }: { readonly kills: number; readonly concurrency: number; readonly longest: number },
): Promise<{ readonly run: string; readonly hits: number }> {
  let run: string | undefined
  let hits = 0
  const known = await query<{ id: string }>(fleet.kit.url, 'select id from public.tenantkit_migration_run')
  for (let kill = 0; kill <= kills; kill++) {
    const isLast = kill === kills
    const ended = await child(fleet, run, concurrency, isLast ? undefined : Math.random() * longest)
    const rows = await query<{ id: string }>(
      fleet.kit.url,
      'select id from public.tenantkit_migration_run where id <> all($1::uuid[]) order by started_at desc limit 1',
      [known.map(({ id }) => id)],
    )
    run ??= rows[0]?.id
    const [left] = await query<{ left: number }>(
      fleet.kit.url,
      `select count(*)::int as "left" from public.tenantkit_migration_run_tenant where run_id = $1 and status in ('pending', 'running')`,
      [run],
    )
    if (!isLast && left!.left > 0) hits++
    if (isLast) assert.equal(ended, 'succeeded')
  }
  return { run: run!, hits }
}

/** Every tenant is at the head, and has each migration once. */
export async function assertMigratedOnce(fleet: Scene, run: string, names: readonly string[]): Promise<void> {
  const head = names.at(-1)
  const rows = await query<{ slug: string; version: string; until: Date | null; status: string }>(
    fleet.kit.url,
    `select t.slug, t.schema_version as version, t.migrating_until as until, r.status from public.tenantkit_tenant t
     join public.tenantkit_migration_run_tenant r on r.tenant_id = t.id and r.run_id = $1`,
    [run],
  )
  assert.lengthOf(rows, fleet.slugs.length)
  for (const { slug, version, until, status } of rows)
    assert.deepEqual({ version, until, status }, { version: head, until: null, status: 'applied' }, slug)
  for (const slug of fleet.slugs) {
    const counted = await fleet.in<{ name: string }>(slug, 'select name from @.counted order by 1')
    assert.deepEqual(
      counted.map(({ name }) => name),
      ['101', '102', '103'],
      slug,
    )
    const recorded = await fleet.recorded(slug)
    assert.includeMembers([...recorded], [...names], slug)
    const [index] = await fleet.in<{ valid: boolean }>(
      slug,
      `select indisvalid as valid from pg_index where indexrelid = '@.author_killed_index'::regclass`,
    )
    assert.equal(index?.valid, true, slug)
    assert.includeMembers([...(await fleet.columns(slug, 'author'))], ['killed', 'together'], slug)
  }
  assert.isFalse(await fleet.tenancy.pendingMigrations())
}

/** Answers what the process ended with, or `undefined` when it was killed. */
async function child(
  fleet: Scene,
  run: string | undefined,
  concurrency: number,
  killAfter: number | undefined,
): Promise<string | undefined> {
  const process = fork(join(import.meta.dirname, 'child.ts'), { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  const [clock] = await query<{ now: string }>(fleet.kit.url, 'select clock_timestamp()::text as now')
  const began = clock!.now
  let problem = ''
  process.stderr!.setEncoding('utf8').on('data', (text: string) => (problem += text))
  const exit = once(process, 'exit')
  const said = async (): Promise<Record<string, unknown> | undefined> =>
    (await Promise.race([once(process, 'message'), exit.then(() => [undefined])]))[0] as Record<string, unknown> | undefined
  await said()
  const { keys, naming, migrations } = fleet.kit.options
  process.send({ url: fleet.kit.url, keys, prefix: naming!.prefix, path: migrations.path, run, concurrency })
  await said()
  if (killAfter === undefined) {
    const answer = (await said()) as { run?: { status: string } } | undefined
    await exit
    assert.isDefined(answer, problem)
    return answer!.run?.status
  }
  // At a random moment of its work, not of its start, which takes as long as the machine has other things to do.
  const worked = 'select from public.tenantkit_migration_run_tenant where started_at > $1'
  for (const end = Date.now() + 20_000; Date.now() < end; await sleep(5))
    if ((await query(fleet.kit.url, worked, [began])).length > 0) break
  await sleep(killAfter)
  process.kill('SIGKILL')
  await exit
  return undefined
}
