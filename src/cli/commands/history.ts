/** `tenantkit history …`: reads, seals, verifies and shortens the history of the control plane and of the tenants. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Argv } from 'yargs'
import type { Tenancy } from '../../tenancy.ts'
import { table, type Output } from '../output.ts'
import { CommandFailedError, WrongUsageError } from '../problem.ts'
import type { Session } from '../session.ts'
import { given, listOf, wholeNumber, type Choose, type Register } from './command.ts'

type History = Tenancy['history']
type Query = NonNullable<Parameters<History['list']>[0]>
type Event = Awaited<ReturnType<History['list']>>['items'][number]
type Scope = NonNullable<Parameters<History['seal']>[0]>
type Known = NonNullable<NonNullable<Parameters<History['verify']>[0]>['known']>
type Verified = Awaited<ReturnType<History['verify']>>[number]
type Outcome = { readonly plane: string; readonly error?: { readonly code: string; readonly message: string } | undefined }

const SCOPES = ['shared', 'tenant', 'all'] as const
const PHRASE = 'PURGE HISTORY'
const KNOWN_HINT = 'Give a file that `tenantkit history verify --json` wrote.'
/** A day, or an instant with its zone. */
const TIME = /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2}))?$/

export const history: Register = (program, choose) =>
  program.command('history', 'Read, seal, verify and shorten the history', group => {
    list(group, choose)
    seal(group, choose)
    verify(group, choose)
    purge(group, choose)
    return group.demandCommand(1, 'Name a command of `tenantkit history`.')
  })

function list(group: Argv, choose: Choose): void {
  group.command(
    'list',
    'Show a page of the history of the control plane or of one tenant, newest first',
    command =>
      command
        .option('tenant', { type: 'string', requiresArg: true, describe: 'The slug of the tenant; without it: the control plane' })
        .option('entity', { type: 'string', requiresArg: true, describe: 'Only this entity, by name' })
        .option('entity-id', { type: 'string', requiresArg: true, describe: 'Only this row of the entity' })
        .option('actor', { type: 'string', requiresArg: true, describe: 'Only this actor: global:<id>, tenant:<id>, system:<job>' })
        .option('action', { type: 'string', requiresArg: true, describe: 'Only this action, such as update' })
        .option('limit', { type: 'number', requiresArg: true, coerce: wholeNumber('limit'), describe: '1 to 200; 50 by default' })
        .option('cursor', { type: 'string', requiresArg: true, describe: 'Go on after a page: its next_cursor' })
        .example('$0 history list --tenant acme --entity Invoice', 'who did what to the invoices of acme'),
    ({ tenant, entity, entityId, actor, action, limit, cursor }) =>
      choose(session => show(session, given({ tenant, entity, entity_id: entityId, actor, action, limit, cursor }))),
  )
}

function seal(group: Argv, choose: Choose): void {
  group.command(
    'seal',
    'Seal what is not sealed yet; run it every minute or so',
    command => planes(command).example('$0 history seal', 'the control plane and every tenant'),
    args =>
      choose(async session => {
        const sealed = await session.asSystem(tenancy => tenancy.history.seal(scopeOf(args)))
        report(session.output, sealed, ({ sealed: count }) => `${count} sealed`)
      }),
  )
}

function verify(group: Argv, choose: Choose): void {
  group.command(
    'verify',
    'Verify the sealed history, and say where it breaks',
    command =>
      planes(command)
        .option('newest', {
          type: 'number',
          requiresArg: true,
          coerce: wholeNumber('newest'),
          describe: 'Only so many of the newest events of each plane; without it: all',
        })
        .option('known', {
          type: 'string',
          requiresArg: true,
          describe: 'A file that `history verify --json` wrote before: its heads must be there',
        })
        .example('$0 history verify --json > heads.json', 'keep the file elsewhere, and give it to --known later'),
    ({ newest, known, ...args }) =>
      choose(async session => {
        const heads = known === undefined ? undefined : headsIn(resolve(session.io.cwd, known))
        const verified = await session.asSystem(tenancy => tenancy.history.verify({ ...scopeOf(args), newest, known: heads }))
        report(session.output, verified, verifiedWords, found => found.error !== undefined || !found.ok)
      }),
  )
}

function purge(group: Argv, choose: Choose): void {
  group.command(
    'purge',
    'Remove events before a time, for good',
    command =>
      planes(command)
        .option('before', {
          type: 'string',
          requiresArg: true,
          demandOption: true,
          describe: 'Events before this time go: ISO 8601, such as 2020-01-01',
        })
        .option('confirm', { type: 'string', requiresArg: true, demandOption: true, describe: `The phrase ${PHRASE}` })
        .check(({ before, confirm }) => {
          if (Number.isNaN(timeOf(before).getTime())) throw new Error(`--before must be a time in ISO 8601, and "${before}" is none.`)
          if (confirm !== PHRASE) throw new Error(`--confirm must be "${PHRASE}".`)
          return true
        })
        .example(`$0 history purge --before 2020-01-01 --confirm "${PHRASE}"`, 'what is older is gone; the rest can still be verified'),
    ({ before, ...args }) =>
      choose(async session => {
        const purged = await session.asSystem(tenancy => tenancy.history.purge({ ...scopeOf(args), olderThan: timeOf(before) }))
        report(session.output, purged, ({ removed }) => `${removed} removed`)
      }),
  )
}

/** The options of the commands that go over planes. */
function planes(command: Argv) {
  return command
    .option('scope', { choices: SCOPES, default: 'all' as const, describe: 'The control plane, the tenants, or all' })
    .option('tenant', { type: 'string', requiresArg: true, describe: 'Only these tenants: slugs, separated by commas' })
    .option('concurrency', {
      type: 'number',
      requiresArg: true,
      coerce: wholeNumber('concurrency'),
      describe: 'Planes at a time; 4 by default',
    })
    .check(({ tenant }) => {
      if (listOf(tenant)?.length === 0) throw new Error('--tenant names no tenant.')
      return true
    })
}

function scopeOf(args: { scope: (typeof SCOPES)[number]; tenant: string | undefined; concurrency: number | undefined }): Scope {
  return given({ scope: args.scope, tenants: listOf(args.tenant), concurrency: args.concurrency })
}

async function show(session: Session, query: Query): Promise<void> {
  const { output } = session
  const page = await session.asSystem(tenancy => tenancy.history.list(query))
  output.result(page, () => {
    const rows = page.items.map(event => [event.at, event.action, event.entity, event.entity_id ?? '', event.actor, aboutOf(event)])
    const more = page.next_cursor === null ? [] : [`More: --cursor ${page.next_cursor}`]
    return [...table(['at', 'action', 'entity', 'id', 'actor', 'changed'], rows), ...(rows.length === 0 ? ['No event.'] : []), ...more]
  })
}

/** The names of the fields; their values may be long, and are in the JSON document. */
function aboutOf({ changes, count, details }: Event): string {
  if (count !== 1) return `${count} rows`
  return Object.keys(changes).join(', ') || Object.keys(details ?? {}).join(', ')
}

/** The result of a command over planes; it fails when one of them did. */
function report<T extends Outcome>(
  output: Output,
  planes: readonly T[],
  say: (plane: Done<T>) => string,
  isBad: (plane: T) => boolean = hasError,
): void {
  const bad = planes.filter(isBad)
  const lines = table(
    ['plane', 'outcome'],
    planes.map(plane => [plane.plane, saidOf(output, plane, say)]),
  )
  if (bad.length === 0) return output.result({ ok: true, planes }, () => lines)
  const message = `${bad.length} of ${planes.length} histories: ${bad.map(({ plane }) => plane).join(', ')}.`
  throw new CommandFailedError('HISTORY_FAILED', message, 'The others are done; each line says what is wrong.', { planes }, lines)
}

type Done<T> = Exclude<T, { readonly error: object }>

function saidOf<T extends Outcome>(output: Output, plane: T, say: (plane: Done<T>) => string): string {
  return plane.error === undefined ? say(plane as Done<T>) : output.paint('red', `${plane.error.code}: ${plane.error.message}`)
}

function hasError({ error }: Outcome): boolean {
  return error !== undefined
}

function verifiedWords({ checked, unsealed, head, break: found }: Done<Verified>): string {
  const broken =
    found === null ? 'intact' : `BROKEN at ${found.position}: ${found.kind}${found.event === null ? '' : `, event ${found.event}`}`
  return `${broken}, ${checked} checked, ${unsealed} not sealed yet, head ${head.position} ${head.hash.slice(0, 12)}`
}

/** The heads in a document of `history verify --json`. */
function headsIn(path: string): Known {
  let document: unknown
  try {
    document = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new WrongUsageError(`--known ${path} cannot be read: ${(error as Error).message}`, { hint: KNOWN_HINT })
  }
  // A verification that failed was written as a problem, with its details.
  const { planes: own, details } = (document ?? {}) as { planes?: unknown; details?: { planes?: unknown } }
  const planes = own ?? details?.planes
  const heads = Array.isArray(planes) ? planes.flatMap(headOf) : []
  if (heads.length === 0) throw new WrongUsageError(`--known ${path} names no head.`, { hint: KNOWN_HINT })
  return Object.fromEntries(heads)
}

function headOf(found: unknown): [string, Known[string]][] {
  const { plane, head } = (found ?? {}) as { plane?: unknown; head?: { position?: unknown; hash?: unknown } | null }
  if (typeof plane !== 'string' || !Number.isSafeInteger(head?.position) || typeof head?.hash !== 'string') return []
  return [[plane, { position: Number(head.position), hash: head.hash }]]
}

/** Only what names a day or an instant: `Date` alone takes much more, and reads some of it in the zone of the machine. */
function timeOf(text: string): Date {
  return new Date(TIME.test(text) ? text : Number.NaN)
}
