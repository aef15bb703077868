/** Asks a running server who it is. */
import { Client } from 'pg'

/** The role that owns the embedded server. */
export const SUPERUSER = 'postgres'

/**
 * - `ready`: it takes our password; `dataDirectory` tells whose it is
 * - `full`: it is up and has no connection free
 * - `starting`, `stopping`: it says so; wait
 * - `locked`: it is up and refuses our password
 * - `silent`: nobody answers
 */
export type ProbeAnswer =
  | { readonly state: 'ready'; readonly dataDirectory: string }
  | { readonly state: 'full' | 'starting' | 'stopping' | 'locked' | 'silent' }

/** Connects to the port on loopback and asks. Takes at most `timeoutMs`. */
export async function probe(port: number, password: string, timeoutMs: number): Promise<ProbeAnswer> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: SUPERUSER,
    password,
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    application_name: 'tenantkit embedded',
  })
  // A server that goes away in between must not become an unhandled 'error' event.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ data_directory: string }>('show data_directory')
    return { state: 'ready', dataDirectory: rows[0]?.data_directory ?? '' }
  } catch (error) {
    return { state: stateOf(error) }
  } finally {
    await client.end().catch(() => undefined)
  }
}

function stateOf(error: unknown): 'full' | 'starting' | 'stopping' | 'locked' | 'silent' {
  const { code, message } = error as { code?: string; message?: string }
  if (code === '53300') return 'full'
  if (code === '28P01' || code === '28000') return 'locked'
  if (code !== '57P03') return 'silent'
  return /shutting down/.test(message ?? '') ? 'stopping' : 'starting'
}

/** The URL of the server for its owner. */
export function serverUrl(port: number, password: string): string {
  return `postgresql://${SUPERUSER}:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`
}
