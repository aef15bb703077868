/** Every public method of the builder that `getNativeQuery()` answers: it holds text, and sends nothing by itself. */
import { raw as fragment } from '@mikro-orm/postgresql'
import { pure, raw, reads, type Table } from '../table.ts'

export const classes = [{ file: 'sql/query/NativeQueryBuilder.d.ts', name: 'NativeQueryBuilder' }] as const

const TEXT = 'It holds text and values.'
const selected = fragment('select 1')

/** The target selects authors. Where a method is told a table, it is told one without a schema. */
export const nativeQueryBuilder: Table<any> = {
  as: pure(TEXT, native => native.as('x')),
  clear: pure(TEXT, native => native.clear('limit')),
  comment: reads((native, { em }) => em.execute(native.comment('a comment'))),
  compile: reads((native, { em }) => em.execute(native)),
  count: pure(TEXT, native => native.count('*')),
  delete: pure(TEXT, native => native.delete()),
  distinct: reads((native, { em }) => em.execute(native.distinct())),
  distinctOn: pure(TEXT, native => native.distinctOn(['id'])),
  from: raw((native, { em }) => em.execute(native.from('author'))),
  groupBy: pure(TEXT, native => native.groupBy(['id'])),
  having: pure(TEXT, native => native.having('true', [])),
  hintComment: reads((native, { em }) => em.execute(native.hintComment('a hint'))),
  insert: pure(TEXT, native => native.insert({ id: 9 })),
  insertSelect: pure(TEXT, native => native.insertSelect(['id'], selected)),
  into: raw((native, { em }) => em.execute(native.into('author').insert({ id: 9, mark: 'new' }))),
  join: pure(TEXT, native => native.join('join x on true', [])),
  limit: reads((native, { em }) => em.execute(native.limit(1))),
  lockMode: pure(TEXT, native => native.lockMode(2)),
  offset: reads((native, { em }) => em.execute(native.offset(1))),
  onConflict: pure(TEXT, native => native.onConflict({ fields: ['id'], ignore: true })),
  orderBy: reads((native, { em }) => em.execute(native.orderBy('1'))),
  returning: pure(TEXT, native => native.returning(['id'])),
  select: reads((native, { em }) => em.execute(native.select('*'))),
  setFlags: pure(TEXT, native => native.setFlags(new Set())),
  toRaw: reads((native, { em }) => em.execute(native.toRaw())),
  toString: pure(TEXT, (native: any) => native.toString()),
  truncate: pure(TEXT, native => native.truncate()),
  update: pure(TEXT, native => native.update({ mark: 'new' })),
  where: reads((native, { em }) => em.execute(native.where('true', []))),
  with: reads((native, { em }) => em.execute(native.with('x', selected))),
  withRecursive: reads((native, { em }) => em.execute(native.withRecursive('x', selected))),
  wrap: pure(TEXT, native => native.wrap('', '')),
}
