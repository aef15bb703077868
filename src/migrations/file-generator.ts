/** Writes migration files: TypeScript that runs as it is, extending this framework's base classes. */
import { readdir } from 'node:fs/promises'
import { snakeCase } from '../classification/entities.ts'
import type { Plane } from '../classification/scope.ts'
import { SHARED_SCHEMA } from '../naming.ts'
import { isDestructive } from './destructive.ts'
import { DestructiveMigrationError } from './errors.ts'
import { BaseFileGenerator } from './internals.ts'

/** A statement that adds a foreign key to a shared table. */
export const SHARED_REFERENCE = new RegExp(`^alter table .* foreign key .* references "${SHARED_SCHEMA}"\\.`, 'is')
const FILE_STAMP = /^Migration(\d{14})/

/**
 * The generator of one plane's files, for MikroORM's option `migrations.generator`.
 *
 * @param mayLose Whether a file may be written that loses data; it declares so.
 */
export function fileGenerator(plane: Plane, mayLose: boolean) {
  const base = plane === 'shared' ? 'SharedMigration' : 'TenantMigration'

  return class TenancyMigrationGenerator extends BaseFileGenerator {
    override async generate(diff: { up: string[]; down: string[] }, path?: string, name?: string): Promise<[string, string]> {
      const folder = path ?? this.options.path!
      if (!mayLose) refuseLoss(diff.up)
      const taken = (await readdir(folder).catch(() => [])).flatMap(file => FILE_STAMP.exec(file)?.[1] ?? [])
      // The stock one would overwrite a file of the same second, and a clock that went back would sort the new file before older ones.
      await waitUntilAfter(taken.toSorted().at(-1))
      return super.generate(diff, folder, name === undefined || name === '' ? undefined : fileName(name))
    }

    override generateMigrationFile(className: string, diff: { up: string[]; down: string[] }): string {
      const down = diff.down.length > 0 ? `\n${method('down', diff.down)}` : ''
      const declared = diff.up.some(isDestructive) ? '  override readonly destructive = true\n\n' : ''
      return `import { ${base} } from 'mikro-tenantkit'\n\nexport class ${className} extends ${base} {\n${declared}${method('up', diff.up)}${down}}\n`
    }
  }
}

/** @throws DESTRUCTIVE_MIGRATION if one of the statements loses data */
export function refuseLoss(statements: readonly string[]): void {
  const losing = statements.find(isDestructive)
  if (losing !== undefined) throw new DestructiveMigrationError('The change of the entities', losing)
}

function method(name: 'up' | 'down', statements: readonly string[]): string {
  const lines = statements.map(sql => (sql === '' ? '' : `    ${call(sql)}`))
  while (lines[0] === '') lines.shift()
  return `  override ${name}(): void {\n${lines.join('\n')}\n  }\n`
}

function call(sql: string): string {
  const text = sql.replace(/;\s*$/, '')
  return `this.${SHARED_REFERENCE.test(text) ? 'addSharedReference' : 'addSql'}(\`${text.replace(/[`$\\]/g, '\\$&')}\`)`
}

/** A name for a file and a class: what is no letter, digit or `_` becomes `_`. */
function fileName(name: string): string {
  return snakeCase(name)
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
}

async function waitUntilAfter(stamp: string | undefined): Promise<void> {
  if (stamp === undefined) return
  const limit = Date.now() + 2_000
  while (stampOf(new Date()) <= stamp && Date.now() < limit) await new Promise(resolve => setTimeout(resolve, 20))
}

function stampOf(date: Date): string {
  return date.toISOString().replace(/[-T:]|\.\d{3}Z$/g, '')
}
