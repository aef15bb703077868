/** Probes in strict mode: whatever is sent is sent in the role of its tenant, and nothing leaves the role. */
import { controlEm, em } from 'mikro-tenantkit'
import { FOREIGN, NO_CONTEXT, inTenant, must, mustBeFree, mustRefuse, type Ground, type Probe } from './probe.ts'

/** The parts of a connection and of its Kysely that are used. */
interface Connection {
  execute(sql: string, parameters?: readonly unknown[]): Promise<unknown>
  stream(sql: string): AsyncIterable<unknown>
  executeDump(sql: string): Promise<void>
  getNativeClient(): Promise<unknown>
  getClient(): { executeQuery(compiled: unknown): Promise<unknown> }
}

const connection = () => em().getConnection() as unknown as Connection
const compiled = (sql: string, parameters: readonly unknown[] = []) => ({
  sql,
  parameters,
  query: { kind: 'SelectQueryNode' },
  queryId: { queryId: 'probe' },
})

/** Every way of text to the database. */
const WAYS: Readonly<Record<string, (sql: string) => Promise<unknown>>> = {
  execute: sql => em().execute(sql),
  'a connection': sql => connection().execute(sql),
  'a dump': sql => connection().executeDump(sql),
  Kysely: sql => connection().getClient().executeQuery(compiled(sql)),
  'Kysely with parameters': sql =>
    connection()
      .getClient()
      .executeQuery(compiled(`${sql} where $1 = 1`, [1])),
  'a stream': async sql => {
    for await (const _ of connection().stream(sql)) break
  },
  'a transaction': sql => em().transactional(() => em().execute(sql)),
}

export const STRICT_PROBES: Readonly<Record<string, Probe>> = {
  'strict: another schema': async ground => {
    for (const [place, other] of [
      [ground.acme, ground.initech],
      [ground.initech, ground.acme],
    ] as const) {
      for (const [way, send] of Object.entries(WAYS)) {
        await inTenant(ground, place, async () => {
          await mustRefuse(FOREIGN, `another schema by ${way}`, () => send(`select * from "${other.schema}".tag`))
          await mustRefuse(FOREIGN, `the registry by ${way}`, () => send('select * from public.tenantkit_tenant'))
          await send(`select * from "${place.schema}".tag`)
          await send('select * from public.country')
        })
      }
      await mustBeFree(ground, 'what was refused is in use')
    }
  },
  'strict: text that leaves the role': async ground => {
    await inTenant(ground, ground.acme, async () => {
      for (const [way, send] of Object.entries(WAYS)) {
        if (way === 'Kysely with parameters') continue
        for (const sql of ['reset role', 'select 1; reset role; select 2'])
          await mustRefuse('SQL_REFUSED', `${JSON.stringify(sql)} by ${way}`, () => send(sql))
      }
      await mustRefuse(NO_CONTEXT, 'the sentinel schema', () => em().execute('select * from __no_tenant__.tag'))
      await mustRefuse(FOREIGN, 'the client of the pool', () => connection().getNativeClient())
    })
  },
  'strict: the role ends with its transaction': async ground => {
    for (let turn = 0; turn < 3; turn++) {
      await inTenant(ground, ground.acme, () => em().transactional(() => em().execute('select 1')))
      await keepsNoRole(ground)
    }
  },
}

/** A connection of the shared pool, as whoever comes next finds it. */
async function keepsNoRole({ tenancy }: Ground): Promise<void> {
  const rows = await tenancy.runAsSystem('probe', () => controlEm().execute<{ who: string }[]>(`select current_user = session_user as who`))
  must(String(rows[0]!.who) === 'true', 'a connection of the pool kept the role of a tenant')
}
