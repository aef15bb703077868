/** Which statements change the catalog of one schema and nothing else. Judged by their text. */
import { wordsOf } from './destructive.ts'

const CHANGES = /^\s*(?:alter\s+(?:table|index)|create\s+(?:table|(?:unique\s+)?index)|drop\s+(?:table|index)|comment\s+on)\b/i
/** A name with a schema: what it names is not the tenant's alone. */
const QUALIFIED = /\w\s*\.\s*\w/
/** Reads rows, which takes as long as there are; runs in no transaction. */
const OTHERWISE = /\b(?:select|execute|values|concurrently)\b/i

/**
 * Whether a statement defines tables, indexes or columns of the schema it runs in: it leaves no setting behind, and locks nothing of others.
 *
 * @example isCatalogChange('alter table "invoice" add column "note" text null') // true
 */
export function isCatalogChange(sql: string): boolean {
  const text = wordsOf(sql)
  return CHANGES.test(text) && !text.includes(';') && !QUALIFIED.test(text) && !OTHERWISE.test(text)
}
