/** The names that strict mode knows: what a statement begins with, what it may not name, and which settings it may change. */

/** What a statement may begin with. All else is sent by the framework alone, or changes the session. */
export const BEGINNINGS: ReadonlySet<string> = new Set([
  'select', 'with', 'values', 'table', 'insert', 'update', 'delete', 'merge', 'truncate', 'lock', 'explain', 'call', 'declare', 'fetch',
  'move', 'close', 'set',
]) // prettier-ignore

/** Functions, views and schemas by what they do, as regular expressions of the whole name. */
const REFUSED_NAMES: readonly string[] = [
  // Set what SET sets.
  'set_config',
  'pg_settings',
  'set_limit',
  // Run text: PostgreSQL's own functions, and those of extensions.
  '(?:query|cursor|table|schema|database)_to_xml\\w*',
  'ts_stat',
  'ts_rewrite',
  'dblink\\w*',
  'crosstab\\w*',
  'connectby',
  'xpath_table',
  'run_command_on_\\w*',
  'pg_background_\\w*',
  // Outlive the transaction: locks of the session, its temporary tables, its random numbers.
  'pg_(?:try_)?advisory_(?!xact_)\\w*',
  'pg_temp\\w*',
  'setseed',
  // Speaks on channels of the framework.
  'pg_notify',
]
const REFUSED_NAME = new RegExp(`^(?:${REFUSED_NAMES.join('|')})$`)

/** Whether a statement may not name this at all. */
export function isRefusedName(name: string): boolean {
  return REFUSED_NAME.test(name)
}

/** Texts that need no reading: they begin well, and nothing in them could be a second statement, a refused name or a refused phrase. */
export function isPlain(sql: string): boolean {
  return PLAIN_BEGINNING.test(sql) && !SUSPICIOUS.test(sql)
}

const PLAIN_BEGINNING = /^(?:select|insert|update|delete|with)\s/i
const SUSPICIOUS = new RegExp(`;|u&"|\\btemp|${REFUSED_NAMES.join('|')}`, 'i')

/** Whether words, each after a space, end in what would leave something in the session: a temporary table, a cursor without a transaction. */
export function endsInRefusedPhrase(words: string): boolean {
  return REFUSED_PHRASE.test(words)
}

const REFUSED_PHRASE = / (?:into|create) (?:(?:local|global) )?temp(?:orary)?$| cursor with hold$/

/** Whether `set local` may change a setting. PostgreSQL compares names of settings without regard to case, in quotes as well. */
export function isAllowedSetting(name: string): boolean {
  const known = name.toLowerCase()
  return ALLOWED_SETTINGS.has(known) || known.startsWith('enable_') || /^[^.]+\../.test(known)
}

/** None of these changes who one is, where names lead, or how text is read. */
const ALLOWED_SETTINGS: ReadonlySet<string> = new Set([
  'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'work_mem', 'hash_mem_multiplier',
  'application_name', 'datestyle', 'intervalstyle', 'timezone', 'synchronous_commit', 'jit', 'plan_cache_mode', 'random_page_cost',
  'seq_page_cost', 'join_collapse_limit', 'from_collapse_limit', 'max_parallel_workers_per_gather',
]) // prettier-ignore
