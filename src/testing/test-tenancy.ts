/**
 * A tenancy for a test of an application: on a database of its own, migrated, and gone without a trace afterwards.
 *
 * The database is a real one. Tests that run side by side do not meet: each has its own control plane and its own naming prefix, so that
 * the schemas, databases and roles of its tenants have names of their own.
 */
import { randomBytes } from 'node:crypto'
import { Client, escapeIdentifier } from 'pg'
import type { TenancyOptions } from '../options.ts'
import { createTenancy, type Tenancy } from '../tenancy.ts'

/** Options of {@link createTestTenancy}. */
export interface TestTenancyOptions {
  /** Any database of a PostgreSQL server, as a role that may create databases and roles. `startEmbedded` gives such a URL. */
  readonly url: string
  /** Whether the control plane is migrated. Default `true`. */
  readonly migrate?: boolean
}

/** A tenancy that removes all that it made. Hold it with `await using`, or call `dispose` after the tests. */
export interface TestTenancy extends AsyncDisposable {
  readonly tenancy: Tenancy
  /** The URL of its control plane. It holds the password: never log it. */
  readonly url: string
  /** Its naming prefix: the databases and roles of its tenants begin with it. */
  readonly prefix: string
  /** Closes the tenancy and drops its databases and roles. Can be called again. */
  dispose(): Promise<void>
}

const OBJECT_IN_USE = '2BP01'

/**
 * Creates a database, a tenancy on it and, by its migrations, the tables of the control plane.
 *
 * What the options say about the database and the naming prefix is replaced; everything else is used as it is.
 *
 * @throws CONFIGURATION_INVALID for wrong options, MIGRATION_FAILED. Nothing is left on the server then.
 * @example
 * await using server = await startEmbedded({ dataDir: '.data/test' })
 * await using test = await createTestTenancy(options, { url: server.url })
 * await test.tenancy.runAsSystem('test', () => test.tenancy.provision({ slug: 'acme', name: 'Acme', isolation: 'schema' }))
 * await test.tenancy.run('acme', async () => { … })
 */
export async function createTestTenancy(
  options: TenancyOptions,
  { url: server, migrate = true }: TestTenancyOptions,
): Promise<TestTenancy> {
  const prefix = `t${randomBytes(5).toString('hex')}`
  const name = `tenantkit_test_${prefix}`
  await onServer(server, client => client.query(`CREATE DATABASE ${escapeIdentifier(name)} TEMPLATE template0`))
  const url = urlOf(server, name)
  let tenancy: Tenancy | undefined
  let disposing: Promise<void> | undefined
  const dispose = (): Promise<void> => (disposing ??= remove(server, name, prefix, tenancy))
  try {
    tenancy = await createTenancy({
      ...options,
      database: { ...options.database, url, directUrl: url },
      naming: { ...options.naming, prefix },
    })
    const made = tenancy
    if (migrate) await made.runAsSystem('test', () => made.migrate({ scope: 'shared' }))
    return { tenancy: made, url, prefix, dispose, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose().catch(() => undefined)
    throw error
  }
}

async function remove(server: string, name: string, prefix: string, tenancy: Tenancy | undefined): Promise<void> {
  try {
    await tenancy?.close()
  } finally {
    await onServer(server, async client => {
      const names = async (sql: string): Promise<string[]> =>
        (await client.query<{ name: string }>(sql, [`${prefix}_`])).rows.map(row => row.name)
      const databases = await names('SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1)')
      for (const each of [...databases, name].map(escapeIdentifier)) {
        // The template of the tenants' databases refuses to be dropped while it is one.
        if (each !== escapeIdentifier(name)) await client.query(`ALTER DATABASE ${each} IS_TEMPLATE false`)
        await client.query(`DROP DATABASE IF EXISTS ${each} WITH (FORCE)`)
      }
      for (const each of await names('SELECT rolname AS name FROM pg_roles WHERE starts_with(rolname, $1)')) await dropRole(client, each)
    })
  }
}

/** A role may still hold privileges on the database that we are connected to. */
async function dropRole(client: Client, name: string): Promise<void> {
  const role = escapeIdentifier(name)
  try {
    await client.query(`DROP ROLE IF EXISTS ${role}`)
  } catch (error) {
    if ((error as { code?: string }).code !== OBJECT_IN_USE) throw error
    await client.query(`DROP OWNED BY ${role} CASCADE`)
    await client.query(`DROP ROLE IF EXISTS ${role}`)
  }
}

async function onServer<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, application_name: 'tenantkit testing' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function urlOf(server: string, database: string): string {
  const url = new URL(server)
  url.pathname = `/${encodeURIComponent(database)}`
  return url.href
}
