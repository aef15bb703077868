/**
 * What strict mode looks at before any SQL is sent: one statement, of a kind that can neither change the role nor leave a mark in the session.
 *
 * The text is read as PostgreSQL's lexer reads it, so that what stands in a string, a quoted name or a comment is not taken for a statement.
 * It stops mistakes and ordinary injection (`…; reset role; …`). It does not see SQL that a function of the database builds and runs
 * itself: whoever may create functions in a tenant's schema, or finds one that runs text, passes by.
 */
import { SqlRefusedError } from '../errors.ts'
import { BEGINNINGS, endsInRefusedPhrase, isAllowedSetting, isPlain, isRefusedName } from './refused-sql.ts'

/**
 * Refuses text that is not exactly one statement of an ordinary kind.
 *
 * @throws SQL_REFUSED
 */
export function assertSingleStatement(sql: string): void {
  if (isPlain(sql)) return
  const words = firstWords(sql)
  if (words.length === 0) return
  const [first] = words
  if (!BEGINNINGS.has(first!.text)) throw new SqlRefusedError(`A statement that begins with ${JSON.stringify(first!.text)}`, ALLOWED_HINT)
  if (first!.text === 'set' && !isAllowedSet(words))
    throw new SqlRefusedError(`The statement "${words.map(({ text }) => text).join(' ')} …"`, ALLOWED_HINT)
}

const ALLOWED_HINT = `In strict mode a statement begins with one of ${[...BEGINNINGS].join(', ')}; set takes "set local <setting>" for timeouts, the planner, the time zone and names with a dot, and changes neither the role nor the search_path. Transactions are em().transactional(…), one statement is one call.`

interface Word {
  /** As PostgreSQL takes it: names without their quotes, others in lower case. */
  readonly text: string
  readonly quoted: boolean
}

/** How many words say what a `set` sets: `set local app . name`. */
const TELLING_WORDS = 5

function isAllowedSet(words: readonly Word[]): boolean {
  const [, second, third, fourth, fifth] = words
  if (second === undefined || second.quoted) return false
  if (second.text === 'constraints' || second.text === 'transaction') return true
  if (second.text !== 'local' || third === undefined) return false
  if (third.text === 'time' && fourth?.text === 'zone') return !third.quoted && !fourth.quoted
  return isAllowedSetting(fourth?.text === '.' ? `${third.text}.${fifth?.text ?? ''}` : third.text)
}

/** The first words of the one statement; parentheses before them do not count. Looks through all of the text. */
function firstWords(sql: string): readonly Word[] {
  const words: Word[] = []
  let recent: readonly string[] = []
  let ended = false
  let afterEscaped = false
  for (const { kind, value } of lexemes(sql)) {
    if (kind === 'space' || kind === 'comment') continue
    if (kind === 'other' && value === ';') {
      ended = true
      continue
    }
    if (ended) throw new SqlRefusedError('A text of more than one statement', 'Send one statement with each call.')
    // PostgreSQL goes on with E'…' escapes in a string on the next line; what it reads there is not what stands there.
    if (afterEscaped && kind === 'text') throw new SqlRefusedError("A string that goes on after an E'…' string", 'Write it as one string.')
    afterEscaped = kind === 'escaped'
    if (kind === 'coded') throw new SqlRefusedError('A name in U&"…"', 'Write the name in plain double quotes.')
    const quoted = kind === 'quoted'
    const text = quoted ? value.slice(1, -1).replaceAll('""', '"') : kind === 'word' ? value.toLowerCase() : value
    if (quoted || kind === 'word') assertName(text)
    recent = [...recent.slice(-3), kind === 'word' ? text : '.']
    if (kind === 'word') assertPhrase(recent)
    if (words.length === 0 && value === '(') continue
    if (words.length < TELLING_WORDS) words.push({ text, quoted })
  }
  return words
}

function assertName(name: string): void {
  if (!isRefusedName(name)) return
  throw new SqlRefusedError(
    `The name ${JSON.stringify(name)}`,
    'What runs text, changes settings of the session or outlives the transaction is not for strict mode. Locks are pg_advisory_xact_lock(…).',
  )
}

/** Takes the keywords just read, with a dot for all else. */
function assertPhrase(recent: readonly string[]): void {
  if (!endsInRefusedPhrase(` ${recent.join(' ')}`)) return
  throw new SqlRefusedError(
    `The words "${recent.join(' ')}"`,
    'Temporary tables and cursors with hold outlive the transaction on a connection that others use next.',
  )
}

/** One piece of SQL text as PostgreSQL's lexer sees it. `space` may be a comment to the end of the line; dollar-quoted text is `text`. */
export interface Lexeme {
  readonly kind: Kind
  readonly value: string
}
type Kind = 'space' | 'comment' | 'escaped' | 'text' | 'coded' | 'quoted' | 'dollar' | 'word' | 'other'

// https://www.postgresql.org/docs/current/sql-syntax-lexical.html
// Where lexemes begin. Where they end is looked for without regular expressions that go back: values may be megabytes long.
const BEGINNING_OF: Readonly<Record<Kind, string>> = {
  space: String.raw`[ \t\n\r\f\v]|--`,
  comment: String.raw`/\*`,
  escaped: String.raw`[eE]'`,
  text: String.raw`(?:[bBxXnN]|[uU]&)?'`,
  coded: String.raw`[uU]&"`,
  quoted: String.raw`"`,
  dollar: String.raw`\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]{0,999})?\$`,
  word: String.raw`[A-Za-z_\u0080-\uffff]`,
  other: String.raw`[\s\S]`,
}
const KINDS = Object.keys(BEGINNING_OF) as Kind[]
const BEGINNING = new RegExp(
  Object.values(BEGINNING_OF)
    .map(pattern => `(${pattern})`)
    .join('|'),
  'y',
)

/** Where a lexeme ends whose beginning ends at `from`. */
const END_OF: Readonly<Record<Kind, (sql: string, from: number, beginning: string) => number>> = {
  space: (sql, from, beginning) => indexOf(sql, from, beginning === '--' ? /[\n\r]/g : /[^ \t\n\r\f\v]/g),
  comment: endOfComment,
  escaped: endOfEscaped,
  text: (sql, from) => endOfQuoted(sql, from, "'"),
  coded: (sql, from) => endOfQuoted(sql, from, '"'),
  quoted: (sql, from) => endOfQuoted(sql, from, '"'),
  dollar: (sql, from, beginning) => {
    const end = sql.indexOf(beginning, from)
    if (end === -1) throw unterminated()
    return end + beginning.length
  },
  word: (sql, from) => indexOf(sql, from, /[^\w$\u0080-\uffff]/g),
  other: (_sql, from) => from,
}

/**
 * Reads SQL text.
 *
 * @throws SQL_REFUSED where a string, a name or a comment does not end
 */
export function* lexemes(sql: string): Generator<Lexeme> {
  let at = 0
  while (at < sql.length) {
    BEGINNING.lastIndex = at
    const match = BEGINNING.exec(sql)!
    const kind = KINDS[match.indexOf(match[0], 1) - 1]!
    const end = END_OF[kind](sql, at + match[0].length, match[0])
    yield { kind: kind === 'dollar' ? 'text' : kind, value: sql.slice(at, end) }
    at = end
  }
}

/** The place of the first character that is meant; the end of the text if there is none. */
function indexOf(sql: string, from: number, character: RegExp): number {
  character.lastIndex = from
  return character.exec(sql)?.index ?? sql.length
}

/** A doubled quote stands for itself. */
function endOfQuoted(sql: string, from: number, quote: string): number {
  for (let at = from; ; at += 2) {
    at = sql.indexOf(quote, at)
    if (at === -1) throw unterminated()
    if (sql[at + 1] !== quote) return at + 1
  }
}

function endOfEscaped(sql: string, from: number): number {
  for (let at = from; at < sql.length; at++) {
    const character = sql[at]
    if (character === "'" && sql[at + 1] !== "'") return at + 1
    // What comes after a backslash, and the second of two quotes, ends nothing.
    if (character === '\\' || character === "'") at++
  }
  throw unterminated()
}

/** Comments nest in PostgreSQL. */
function endOfComment(sql: string, from: number): number {
  const marks = /\/\*|\*\//g
  marks.lastIndex = from
  let depth = 1
  for (let mark = marks.exec(sql); mark !== null; mark = marks.exec(sql)) {
    depth += mark[0] === '/*' ? 1 : -1
    if (depth === 0) return marks.lastIndex
  }
  throw unterminated()
}

function unterminated(): SqlRefusedError {
  return new SqlRefusedError('A text with a string, a name or a comment that does not end', 'Close it.')
}
