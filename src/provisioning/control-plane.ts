/** The control plane is nobody's database. */
import { settingsOf } from '../connections/settings.ts'
import { ValidationFailedError } from '../errors.ts'

/** @throws VALIDATION_FAILED when a connection string leads to the control plane */
export function refuseControlPlane(directUrl: string, connectionString: string | undefined): void {
  if (connectionString === undefined) return
  const [given, control] = [settingsOf(connectionString), settingsOf(directUrl)]
  if (given.host === control.host && given.port === control.port && given.dbName === control.dbName) {
    throw new ValidationFailedError([{ path: 'connection_string', message: 'leads to the control plane' }])
  }
}
