/**
 * Who and when on the rows that MikroORM is about to write.
 *
 * A flush attributes its rows early, so that its entities say what is stored; every other row is attributed when it reaches the driver. What
 * a row said before of the audit fields is dropped: nobody chooses under whose name a row is written.
 */
import { actorKey } from '../context/context.ts'
import { instantOf } from '../context/clock.ts'
import { ValidationFailedError } from '../errors.ts'
import { AUDIT_FIELDS, DELETED_WITH } from './audit-fields.ts'

/** A row on its way to the database: values by property. */
export type Row = Record<string, unknown>

/** Who writes, and when. */
export interface Stamp {
  readonly at: Date
  readonly by: string
}

/** `none`: there was nothing to write but audit fields. */
type Kind = 'create' | 'update' | 'delete' | 'restore' | 'none'

interface Attribution {
  readonly kind: Kind
  readonly stamp: Stamp
}

/** What each attributed row is to say; it is held against the row once more just before its SQL is made, after all hooks. */
const attributions = new WeakMap<Row, Attribution>()

/** The rows of a flush share theirs. */
let latest: Attribution | undefined

/** Rows that a statement of this framework writes, which is neither attributed nor recorded a second time. */
export function isAttributed(row: object): boolean {
  return attributions.has(row as Row)
}

/** Whether a row deletes. */
export function isDeleting(row: object): boolean {
  return attributions.get(row as Row)?.kind === 'delete'
}

/** Whether a row has nothing to write. */
export function isVoid(row: object): boolean {
  return attributions.get(row as Row)?.kind === 'none'
}

/** The stamp for what is written now. @throws NO_ACTOR */
export function stampNow(transaction: unknown): Stamp {
  return { by: actorKey(), at: instantOf(transaction) }
}

/** Attributes a row, and says its stamp. */
export function attribute(row: Row, kind: Kind, stamp: Stamp): void {
  if (latest?.kind !== kind || latest.stamp !== stamp) latest = { kind, stamp }
  attributions.set(row, latest)
  apply(row, kind, stamp)
}

/** Attributes a row that reached the driver, unless a flush did; then its attribution is repeated. @throws NO_ACTOR, VALIDATION_FAILED */
export function attributeLate(row: Row, kind: 'create' | 'update', transaction: unknown): void {
  const known = attributions.get(row)
  if (known !== undefined) {
    instantOf(transaction, known.stamp.at)
    return apply(row, known.kind, known.stamp)
  }
  if (kind === 'update') refuseNothingElse(row)
  attribute(row, kind, stampNow(transaction))
}

/** Takes the audit fields out of a row. */
export function withoutAuditFields(row: Row): void {
  for (const field of AUDIT_FIELDS) remove(row, field)
  remove(row, DELETED_WITH)
}

function apply(row: Row, kind: Kind, { at, by }: Stamp): void {
  if (kind === 'create') {
    row['createdAt'] = at
    row['createdBy'] = by
  } else {
    remove(row, 'createdAt')
    remove(row, 'createdBy')
  }
  if (kind === 'none') {
    withoutAuditFields(row)
    return
  }
  row['updatedAt'] = at
  row['updatedBy'] = by
  if (kind === 'delete' || kind === 'restore') {
    row['deletedAt'] = kind === 'delete' ? at : null
    row['deletedBy'] = kind === 'delete' ? by : null
  } else {
    remove(row, 'deletedAt')
    remove(row, 'deletedBy')
  }
  remove(row, DELETED_WITH)
}

/** An object that a property was deleted from is slow from then on: only what is there is deleted. */
function remove(row: Row, field: string): void {
  if (field in row) delete row[field]
}

/** An update of audit fields alone would do nothing, and whoever wrote it meant something else. */
function refuseNothingElse(row: Row): void {
  const given = Object.keys(row)
  const fields: readonly string[] = [...AUDIT_FIELDS, DELETED_WITH]
  if (given.length === 0 || given.some(key => !fields.includes(key))) return
  throw new ValidationFailedError(
    given.map(path => ({ path, message: 'is an audit field, which nobody sets' })),
    'Delete with em().remove(entity) or em().nativeDelete(…), restore with restore(…).',
  )
}
