/** `tenantkit run <file>`: calls a function of a module in each tenant's context. */
import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { currentTenant, type Actor, type TenantRef } from '../../context/context.ts'
import { TenancyError, TenantNotFoundError, counted } from '../../errors.ts'
import type { Tenancy } from '../../tenancy.ts'
import { cell, type Output } from '../output.ts'
import { CommandFailedError, WrongUsageError, problemOf } from '../problem.ts'
import type { Session } from '../session.ts'
import { listOf, wholeNumber, type Register } from './command.ts'

/** What the function of a file is called with. It runs inside the tenant: `em()` is the tenant's. */
export interface RunContext {
  readonly tenant: TenantRef
  /** Fires when the command is interrupted. */
  readonly signal: AbortSignal | undefined
}

/** The default export of a file for `tenantkit run`, or its export `run`. What it returns is shown. */
export type RunFunction = (context: RunContext) => unknown

interface Outcome {
  readonly tenant: string
  readonly status: 'done' | 'failed'
  /** What the function returned. */
  readonly result?: unknown
  readonly error?: string
}

interface Arguments {
  readonly file: string
  readonly tenants: readonly string[] | undefined
  readonly concurrency: number
  readonly maxFailures: number
}

/** Who acts: the audit columns say `system:run`. */
const ACTOR: Actor = Object.freeze({ plane: 'system', id: 'run', label: 'run' })
const CONCURRENCY = 4
const PAGE = 200

export const runFile: Register = (program, choose) =>
  program.command(
    'run <file>',
    'Run the default export of a module in the context of each tenant',
    command =>
      command
        .positional('file', { type: 'string', demandOption: true, describe: 'A .ts or .js file that exports a function: default, or run' })
        .option('tenant', {
          type: 'string',
          requiresArg: true,
          describe: 'Only these tenants: slugs, separated by commas [default: all that are ready]',
        })
        .option('concurrency', {
          type: 'number',
          requiresArg: true,
          default: CONCURRENCY,
          coerce: wholeNumber('concurrency'),
          describe: 'How many tenants at once',
        })
        .option('max-failures', {
          type: 'number',
          requiresArg: true,
          coerce: wholeNumber('max-failures'),
          describe: 'Begin no more after so many failed [default: go on]',
        })
        .check(({ tenant }) => {
          if (listOf(tenant)?.length === 0) throw new Error('--tenant names no tenant.')
          return true
        })
        .example('$0 run jobs/remind.ts --tenant acme', 'one tenant'),
    ({ file, tenant, concurrency, maxFailures }) =>
      choose(session =>
        run(session, {
          file,
          tenants: listOf(tenant),
          concurrency: concurrency ?? CONCURRENCY,
          maxFailures: maxFailures ?? Number.POSITIVE_INFINITY,
        }),
      ),
  )

async function run(session: Session, { file, tenants, concurrency, maxFailures }: Arguments): Promise<void> {
  const { output, io } = session
  const path = resolve(io.cwd, file)
  if (!existsSync(path))
    throw new WrongUsageError(`There is no file ${path}.`, { hint: 'Name a .ts or .js file, from the working folder.' })
  const tenancy = await session.tenancy()
  // After the configuration, which may set up what the module needs.
  const work = await functionOf(path)
  const slugs = await session.asSystem(() => chosen(tenancy, tenants))
  const progress = output.progress(`Running ${basename(file)}`, 'tenants', slugs.length)
  const outcomes: Outcome[] = []
  let failed = 0
  const queue = slugs.values()
  const worker = async (): Promise<void> => {
    for (const slug of queue) {
      if (io.signal?.aborted === true) return
      const outcome = await inTenant(tenancy, slug, work, io.signal)
      outcomes.push(outcome)
      if (outcome.status === 'failed') failed++
      progress.step(slug, outcome.error)
      if (failed >= maxFailures) return
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, slugs.length) }, worker))
  progress.end()
  outcomes.sort((a, b) => (a.tenant < b.tenant ? -1 : 1))
  const skipped = slugs.length - outcomes.length
  const lines = linesOf(output, outcomes, { total: slugs.length, failed, skipped })
  const document = { file: path, total: slugs.length, done: outcomes.length - failed, failed, skipped, tenants: outcomes }
  if (failed > 0) {
    const message = `${failed} of ${counted(slugs.length, 'tenant')} failed${skipped > 0 ? `, ${skipped} not begun` : ''}.`
    throw new CommandFailedError(
      'RUN_FAILED',
      message,
      'What the others did stays done. Run it again for those: --tenant a,b',
      document,
      lines,
    )
  }
  output.result(document, () => lines)
}

/** @throws WRONG_USAGE if the module exports no function */
async function functionOf(path: string): Promise<RunFunction> {
  const exported = (await import(pathToFileURL(path).href)) as { readonly default?: unknown; readonly run?: unknown }
  const found = [exported.default, exported.run].find(each => typeof each === 'function')
  if (found !== undefined) return found as RunFunction
  throw new WrongUsageError(`${path} exports no function.`, { hint: 'Write: export default async function ({ tenant }) { … }' })
}

/** @throws TENANT_NOT_FOUND before anything runs */
async function chosen(tenancy: Tenancy, tenants: readonly string[] | undefined): Promise<readonly string[]> {
  if (tenants !== undefined) {
    for (const slug of tenants) if ((await tenancy.find(slug)) === undefined) throw new TenantNotFoundError(slug)
    return [...new Set(tenants)]
  }
  const slugs: string[] = []
  let cursor: string | null | undefined
  do {
    const page = await tenancy.listTenants({ status: 'ready', limit: PAGE, ...(cursor ? { cursor } : {}) })
    slugs.push(...page.items.map(({ slug }) => slug))
    cursor = page.next_cursor
  } while (cursor)
  return slugs
}

async function inTenant(tenancy: Tenancy, slug: string, work: RunFunction, signal: AbortSignal | undefined): Promise<Outcome> {
  try {
    const result = await tenancy.run(slug, async () => work({ tenant: currentTenant()!, signal }), { actor: ACTOR, signal })
    return { tenant: slug, status: 'done', ...(result === undefined ? {} : { result }) }
  } catch (error) {
    const { code, detail } = problemOf(error)
    return { tenant: slug, status: 'failed', error: error instanceof TenancyError ? `${detail} [${code}]` : detail }
  }
}

function linesOf(
  output: Output,
  outcomes: readonly Outcome[],
  { total, failed, skipped }: { total: number; failed: number; skipped: number },
): string[] {
  return [
    ...outcomes.map(({ tenant, result, error }) =>
      error === undefined
        ? `${tenant}: ${result === undefined ? 'done' : cell(result)}`
        : `${tenant}: ${output.paint('red', `FAILED ${error}`)}`,
    ),
    `${counted(total, 'tenant')}, ${total - failed - skipped} done, ${failed} failed${skipped > 0 ? `, ${skipped} not begun` : ''}`,
  ]
}
