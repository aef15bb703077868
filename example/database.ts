/** The database server: the one of DATABASE_URL, or the embedded one, which all processes on the data folder share. */
import type { EmbeddedServer } from 'mikro-tenantkit/embedded'
import { places } from './configuration.ts'

let server: Promise<EmbeddedServer> | undefined

/** The URL of the control plane. Boots the embedded server, or attaches to it, when it is first asked for. */
export async function databaseUrl(): Promise<string> {
  const { databaseUrl: given, dataDir } = places()
  if (given !== undefined) return given
  server ??= import('mikro-tenantkit/embedded').then(({ startEmbedded }) => startEmbedded({ dataDir }))
  return (await server).url
}

/** Ends this process's use of the embedded server, if there is one. */
export async function releaseDatabase(): Promise<void> {
  const used = server
  server = undefined
  await (await used)?.stop()
}
