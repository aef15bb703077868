/** What the back office is told, and what it makes of it. */
import type { ActionContext } from 'adminjs'
import type { TenantRef } from '../src/context/context.ts'
import { ConfigurationError } from '../src/errors.ts'
import type { Passwords } from './adapter/passwords.ts'
import type { AdminAccounts } from './accounts.ts'
import type { Language, Tree } from './locale/words.ts'
import { pageProblems, type AdminCard, type AdminPage } from './pages.ts'

/** What one entity is told in the back office. Everything is optional; what is left out follows from the entity. */
export interface AdminResourceOptions {
  /** What many of them are called. Default: from the entity's name. */
  readonly label?: string
  /** What properties are called, by name. Default: from their names. */
  readonly labels?: Readonly<Record<string, string>>
  /** Properties that come first in show and edit, in this order. Default: as the entity has them. */
  readonly order?: readonly string[]
  /** The columns of the list, at most eight. Default: the title and the first short properties. */
  readonly list?: readonly string[]
  /** The property that names a row. Default: `title`, `name`, `label` and their like, else the first text. */
  readonly title?: string
  /** Properties that are shown nowhere. Default none. */
  readonly hide?: readonly string[]
  /** Properties that are shown and never edited. Default none. */
  readonly readOnly?: readonly string[]
  /** The values of a property, for a choice instead of free text. Default none. */
  readonly values?: Readonly<Record<string, readonly string[]>>
  /** Hidden properties that a password is typed for, with what makes its hash: `{ passwordHash: hashPassword }`. Default none. */
  readonly passwords?: Passwords
  /** What it takes to change rows, beside `data:write`, `data:delete`, `data:restore` and `data:purge`, such as `users:write`. Default none. */
  readonly permission?: string
  /** No rows are made, changed or deleted here. Default false. */
  readonly locked?: boolean
  /** Actions of the application's own, by name. */
  readonly actions?: Readonly<Record<string, AdminAction>>
}

/** What an action of the application's is called with. */
export interface AdminActionCall {
  /** The id of the record. */
  readonly id: string
  /** The tenant, in a tenant's back office. */
  readonly tenant: TenantRef | undefined
  /** What was typed, for an action with a phrase. */
  readonly confirmation: string | undefined
}

/** An action on one record: a button that asks, then posts. It runs in the context of the request, where `em()` and `controlEm()` answer. */
export interface AdminAction {
  /** What the button says. */
  readonly label: string
  /** What is asked before it runs. */
  readonly question: string
  /** An icon of the design system, such as `Send`. Default `Play`. */
  readonly icon?: string
  /** What it takes to run it. Default `data:write`. */
  readonly permission?: string
  /** What has to be typed, checked on the server; `{slug}` stands for the record's property. Default: nothing. */
  readonly phrase?: string
  /** Whether the action fits the record. Not async: AdminJS takes a promise for true. Default: always. */
  readonly isAccessible?: (context: ActionContext) => boolean
  /** Does it. What it throws is shown; what it gives back is the message of its success. */
  run(call: AdminActionCall): Promise<string>
}

/** A logger with two methods; pino fits. */
export interface AdminLog {
  info(facts: object, message: string): void
  error(facts: object, message: string): void
}

/** What `createAdminPanel` takes. */
export interface AdminPanelOptions {
  /** Who logs in; `accountsOf(User)` makes it from a both entity. */
  readonly accounts: AdminAccounts
  /** What entities are told, by name; `false` leaves one out. Default: every entity with a table is shown. */
  readonly resources?: Readonly<Record<string, AdminResourceOptions | false>>
  /** The name in the header. Default `Back office`. */
  readonly title?: string
  /** Pages of the application's own, by name. Default none. */
  readonly pages?: Readonly<Record<string, AdminPage>>
  /** Figures of the application's own on the first page, by name. Default none. */
  readonly cards?: Readonly<Record<string, AdminCard>>
  /** The file that `bundleComponents` made of the application's own components. Default: there are none. */
  readonly bundle?: string
  /** Words of the application's own by language, over those of the panel: `{ es: { labels: { Invoice: 'Facturas' } } }`. Default none. */
  readonly translations?: Readonly<Partial<Record<Language, Tree>>>
  /** How long an unused session lives, in minutes. Default 30. */
  readonly idleMinutes?: number
  /** How long a session lives at most, in minutes. Default 720. */
  readonly sessionMinutes?: number
  /** How long a global operator stays in a tenant before entering it again, in minutes. Default 60. */
  readonly tenantMinutes?: number
  /** Failed log-ins of one account from one address, per minute. Default 10. */
  readonly logInLimit?: number
  /** Where events and errors go. Default: standard error, one JSON line for each error. */
  readonly log?: AdminLog
}

/** The complete form. */
export interface ResolvedAdminOptions extends Required<AdminPanelOptions> {
  readonly idleMs: number
  readonly sessionMs: number
  readonly tenantMs: number
}

export const ADMIN_DEFAULTS = { title: 'Back office', idleMinutes: 30, sessionMinutes: 720, tenantMinutes: 60, logInLimit: 10 } as const

const standardError: AdminLog = {
  info: () => undefined,
  error: (facts, message) => void process.stderr.write(`${JSON.stringify({ message, ...facts })}\n`),
}

/** @throws CONFIGURATION_INVALID */
export function resolveAdminOptions(given: AdminPanelOptions): ResolvedAdminOptions {
  const options = { ...ADMIN_DEFAULTS, resources: {}, translations: {}, pages: {}, cards: {}, bundle: '', log: standardError, ...given }
  const problems = (['idleMinutes', 'sessionMinutes', 'tenantMinutes', 'logInLimit'] as const)
    .filter(name => !(options[name] > 0) || !Number.isFinite(options[name]))
    .map(name => `admin.${name} must be a positive number; it is ${String(options[name])}.`)
  problems.push(
    ...Object.entries(options.resources).flatMap(([name, resource]) =>
      resource === false ? [] : [...asyncChecks(name, resource), ...takenNames(name, resource)],
    ),
  )
  problems.push(...pageProblems(options.pages, options.cards))
  const undrawn = Object.entries(options.pages).filter(([, { component }]) => component !== undefined && options.bundle === '')
  problems.push(...undrawn.map(([name]) => `admin.pages.${name}.component needs admin.bundle, where the component is.`))
  if (problems.length > 0) throw new ConfigurationError(problems, 'Correct the options of createAdminPanel().')
  const minute = 60_000
  return Object.freeze({
    ...options,
    idleMs: options.idleMinutes * minute,
    sessionMs: options.sessionMinutes * minute,
    tenantMs: options.tenantMinutes * minute,
  })
}

/** AdminJS takes the promise of an async function for true, and everybody would be let in. */
function asyncChecks(name: string, { actions = {} }: AdminResourceOptions): string[] {
  return Object.entries(actions)
    .filter(([, action]) => action.isAccessible?.constructor.name === 'AsyncFunction')
    .map(([action]) => `${name}.${action}.isAccessible must not be async: its promise would count as true.`)
}

/** The names of the actions that are there already: another one of that name would take its place with a fence of its own. */
const TAKEN: ReadonlySet<string> = new Set(
  'list search show new edit delete bulkDelete history restore restore_selected hard_delete hard_delete_selected'.split(' '),
)

function takenNames(name: string, { actions = {} }: AdminResourceOptions): string[] {
  return Object.keys(actions)
    .filter(action => TAKEN.has(action))
    .map(action => `${name}.${action} is an action of the panel: give yours another name.`)
}
