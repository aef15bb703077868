/** Finds and loads the project's configuration: the nearest `mikro-orm.config.ts` or `.js`, upward from the working directory. */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigurationError, TenancyError } from '../errors.ts'
import type { TenancyOptions } from '../options.ts'

const NAMES = ['mikro-orm.config.ts', 'mikro-orm.config.js']

/** The path of the configuration. @throws CONFIGURATION_INVALID if there is none. */
export function findConfiguration(cwd: string, given?: string): string {
  if (given !== undefined) {
    const path = resolve(cwd, given)
    if (existsSync(path)) return path
    throw new ConfigurationError([`There is no configuration ${path}.`], 'Pass --config the path of your mikro-orm.config.ts.')
  }
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    const found = NAMES.map(name => join(folder, name)).find(path => existsSync(path))
    if (found !== undefined) return found
    if (folder === dirname(folder)) break
  }
  throw new ConfigurationError(
    [`There is no mikro-orm.config.ts (or .js) in ${cwd} or above it.`],
    'Run the command in your project, or pass --config <path>.',
  )
}

/** The export `options` of a configuration. @throws CONFIGURATION_INVALID if it cannot be loaded or has none. */
export async function loadOptions(path: string): Promise<TenancyOptions> {
  const exported = await load(path)
  const options = exported['options']
  if (typeof options !== 'object' || options === null || !('database' in options)) {
    throw new ConfigurationError(
      [`${path} does not export the options of the tenancy.`],
      "Write `export const options = defineTenancy({ … })` there, with defineTenancy from 'mikro-tenantkit'.",
    )
  }
  return options as TenancyOptions
}

async function load(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>
  } catch (error) {
    if (error instanceof TenancyError) throw error
    const old = (error as { code?: string }).code === 'ERR_UNKNOWN_FILE_EXTENSION'
    const hint = old
      ? `Node ${process.versions.node} does not run TypeScript as it is: use Node 24, or compile the configuration to .js.`
      : 'Set TENANTKIT_DEBUG=1 to see where it happened.'
    throw Object.assign(new ConfigurationError([`${path} cannot be loaded: ${(error as Error).message}`], hint), { cause: error })
  }
}
