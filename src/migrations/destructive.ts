/** Which statements lose data. Judged by their text: code that a migration runs itself is not seen. */

/** Literals, quoted names and comments: words in them mean nothing. A quoted name stays as a bare word. */
const QUOTED = /'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|--[^\n]*|\/\*.*?\*\/|"(?:[^"]|"")*"/gs
const DROPS = /\bdrop\s+(?:table|schema|column|database|materialized\s+view)\b/i
/** `alter table … drop x`, where x is a column: the word `column` may be left out. */
const DROPS_COLUMN = /^\s*alter\s+table\b.*\bdrop\s+(?!constraint\b|default\b|not\b|expression\b|identity\b|column\b)/is
const EMPTIES = /\b(?:truncate|delete\s+from)\b/i
/** A cast to a shorter or coarser type cuts values without a word; into unbounded text everything fits. */
const CASTS = /\balter\s+(?:column\s+)?\w+\s+(?:set\s+data\s+)?type\s+(?!text\b|jsonb\b|(?:varchar|character\s+varying)\b(?!\s*\())/i

/**
 * Whether a statement loses data that is there: a table, a column or rows go, or values are cast.
 *
 * @example isDestructive('alter table "invoice" drop column "note"') // true
 */
export function isDestructive(sql: string): boolean {
  const text = wordsOf(sql)
  return DROPS.test(text) || DROPS_COLUMN.test(text) || EMPTIES.test(text) || CASTS.test(text)
}

/** A statement without its literals and comments, and with a bare word for each quoted name. */
export function wordsOf(sql: string): string {
  return sql.replace(QUOTED, quoted => (quoted.startsWith('"') ? 'quoted' : ' '))
}
