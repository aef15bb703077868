/** Whether the control plane's tables are still what the shared migrations made. Nothing is changed. */
import type { Plane } from '../classification/scope.ts'
import { withDirectClient } from '../connections/direct.ts'
import { ConfigurationError } from '../errors.ts'
import { differencesOf, objectsOf, type ObjectDifference, type SchemaObjects } from '../migrations/fingerprint.ts'
import type { Migrations } from '../migrations/migrations.ts'
import { SHARED_SCHEMA } from '../naming.ts'
import { reasonOf } from '../provisioning/steps.ts'

/** What became of the comparison of the control plane. */
export interface SharedDrift {
  /**
   * `unknown`: what its migrations make cannot be told beside it, for one of them is code or runs in no transaction. `failed`: it could not
   * be compared. `reason` says more.
   */
  readonly status: 'same' | 'drifted' | 'unknown' | 'failed'
  /** The last shared migration that is recorded, which it was compared at. */
  readonly version: string | null
  readonly differences: readonly ObjectDifference[]
  readonly reason?: string
}

/** What stands in a table; the table's name is captured. */
const IN_TABLE = /^(?:column|constraint|index|trigger|policy|rule) (.+?)\./s

export async function sharedDrift({
  migrations,
  directUrl,
}: {
  readonly migrations: Migrations
  readonly directUrl: string
}): Promise<SharedDrift> {
  let version: string | null = null
  try {
    const applied = await migrations.executed(migrations.sharedTarget())
    const stand = standOf(
      'shared',
      await migrations.names('shared'),
      applied.map(({ name }) => name),
    )
    version = stand.version
    const reference = await migrations.sharedReference(version)
    const found = await withDirectClient(directUrl, client => objectsOf(client, [SHARED_SCHEMA]))
    const differences = [
      ...stand.skipped,
      ...differencesOf(reference.objects, ours(reference.objects, found.get(SHARED_SCHEMA) ?? new Map())),
    ]
    return { status: differences.length > 0 ? 'drifted' : 'same', version, differences }
  } catch (error) {
    return { status: error instanceof ConfigurationError ? 'unknown' : 'failed', version, differences: [], reason: reasonOf(error) }
  }
}

/** What is expected, and what stands in tables that are: the schema `public` may hold what others made. */
function ours(expected: SchemaObjects, found: SchemaObjects): SchemaObjects {
  return new Map([...found].filter(([object]) => expected.has(object) || expected.has(`table ${IN_TABLE.exec(object)?.[1] ?? ''}`)))
}

/** How far a plane has come, and what it has left out on the way. */
export function standOf(
  plane: Plane,
  names: readonly string[],
  applied: readonly string[],
): { version: string | null; skipped: readonly ObjectDifference[] } {
  const unknown = applied.find(name => !names.includes(name))
  if (unknown !== undefined) throw new Error(`there is no ${plane} migration ${JSON.stringify(unknown)}, and it is recorded as applied`)
  const done = new Set(applied)
  const last = names.findLastIndex(name => done.has(name))
  const skipped = names.slice(0, last + 1).filter(name => !done.has(name))
  return {
    version: names[last] ?? null,
    skipped: skipped.map(name => ({ kind: 'missing', object: `migration ${name}`, expected: 'applied before the later ones' })),
  }
}
