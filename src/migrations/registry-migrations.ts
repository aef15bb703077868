/** The framework's own migrations. They come before the application's, in both sets. */
import type { Plane } from '../classification/scope.ts'
import type { MigrationClass } from './internals.ts'
import { SharedMigration } from './migration.ts'

/** Creates the registry: tenants, their invitations and their settings. */
export class Tenantkit0001Registry extends SharedMigration {
  override up(): void {}
}

/** The bundled migrations by set, in their order. */
export const BUNDLED: Readonly<Record<Plane, readonly { readonly name: string; readonly migration: MigrationClass }[]>> = {
  shared: [{ name: 'tenantkit_0001_registry', migration: Tenantkit0001Registry as unknown as MigrationClass }],
  tenant: [],
}
