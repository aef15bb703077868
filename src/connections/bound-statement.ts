/**
 * A statement whose values go beside it, as PostgreSQL's own parameters, where MikroORM writes them into its text: values of some hundred
 * kilobytes are neither quoted nor read a second time, and stand in no log of statements.
 *
 * Source: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 */
import { NoTenantContextError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { ConnectionInternals } from './internals.ts'

/** The schema that tenant tables resolve to where no tenant is active. It exists nowhere and cannot be created by this framework. */
export const NO_TENANT_SCHEMA = '__no_tenant__'

/** What runs statements: a Kysely, or a transaction of it. */
interface Executor {
  executeQuery(query: object, abort?: object): Promise<unknown>
}

/**
 * Runs a statement that numbers its parameters, `$1` and so on; it is logged without its values. `abort` is Kysely's: a signal, and what
 * becomes of a statement under way.
 *
 * @throws NO_TENANT_CONTEXT if it names a tenant's table without a tenant.
 */
export async function executeBound(
  connection: ConnectionInternals,
  statement: string,
  values: readonly unknown[],
  transaction?: unknown,
  abort?: object,
): Promise<unknown> {
  await connection.ensureConnection()
  const sql = connection.config.get('onQuery')(statement, values as unknown[])
  if (sql.includes(NO_TENANT_SCHEMA)) throw new NoTenantContextError()
  const executor = (transaction ?? connection.getClient()) as Executor
  const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
  const run = () => executor.executeQuery({ sql, parameters: values, query, queryId: { queryId: newId() } }, abort)
  return connection.executeQuery(sql, async () => connection.transformRawResult(await run(), 'run'), { query: sql })
}
