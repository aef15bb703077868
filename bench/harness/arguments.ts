/** The command line of the bench. */
import { parseArgs } from 'node:util'

/** What was asked for. */
export interface Arguments {
  readonly quick: boolean
  readonly json: boolean
  readonly help: boolean
  /** The groups to run, all if empty. */
  readonly only: readonly string[]
}

/** A command line that means nothing; the message says why. */
export class UsageError extends Error {}

/** What `--help` prints. */
export function usage(groups: readonly string[]): string {
  return `Measures this framework against the same thing done without it, side by side on a real PostgreSQL.

npm run bench -- [--quick] [--json] [--only <group>]…

  --quick         fewer tenants and shorter rounds: below a minute, after the set-up
  --json          print one JSON document on standard output, and nothing else there
  --only <group>  ${groups.join(', ')}; can be given several times
  --help          this text

DATABASE_URL names the server, by a role that may create databases and roles; without it an embedded server is started.
What is measured, and how to read it: docs/performance.md
`
}

/** @throws UsageError */
export function parseArguments(words: readonly string[], groups: readonly string[]): Arguments {
  const { values } = parsed(words)
  const only = values.only ?? []
  const unknown = only.filter(name => !groups.includes(name))
  if (unknown.length > 0) throw new UsageError(`There is no group ${unknown.join(', ')}. There are: ${groups.join(', ')}.`)
  return { quick: values.quick ?? false, json: values.json ?? false, help: values.help ?? false, only }
}

function parsed(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: {
        quick: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        only: { type: 'string', multiple: true },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}
