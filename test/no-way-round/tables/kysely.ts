/** Every public method of Kysely, as `em.getKysely()` gives it. It knows no entity: unqualified names find no table. */
import { pure, raw, reads, transaction, type Table } from '../table.ts'

export const classes = [
  { file: 'kysely/kysely.d.ts', name: 'Kysely' },
  { file: 'kysely/query-creator.d.ts', name: 'QueryCreator' },
] as const
export const transactionBuilderClasses = [{ file: 'kysely/kysely.d.ts', name: 'TransactionBuilder' }] as const
export const controlledBuilderClasses = [{ file: 'kysely/kysely.d.ts', name: 'ControlledTransactionBuilder' }] as const
export const connectionBuilderClasses = [{ file: 'kysely/kysely.d.ts', name: 'ConnectionBuilder' }] as const
export const controlledTransactionClasses = [{ file: 'kysely/kysely.d.ts', name: 'ControlledTransaction' }] as const

const TYPES = 'It changes types alone.'
const POOL = 'It closes nothing: the pool is not one run’s.'
/** What Kysely's `CompiledQuery.raw` makes. */
const compiled = (sql: string) => ({
  sql,
  query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
  parameters: [],
  queryId: { queryId: 'test' },
})
const select = (db: any) => db.selectFrom('author').selectAll().execute()
const plugin = { transformQuery: ({ node }: any) => node, transformResult: ({ result }: any) => Promise.resolve(result) }

export const kysely: Table<any> = {
  $extendTables: pure(TYPES, db => db.$extendTables()),
  $omitTables: pure(TYPES, db => db.$omitTables()),
  $pickTables: pure(TYPES, db => db.$pickTables()),
  '[Symbol.asyncDispose]': pure(POOL, db => db[Symbol.asyncDispose]()),
  case: pure('It builds text.', db => db.case()),
  connection: raw(db => db.connection().execute(select)),
  deleteFrom: raw(db => db.deleteFrom('author').execute()),
  destroy: pure(POOL, db => db.destroy()),
  dynamic: pure('It builds text.', db => db.dynamic.ref('a')),
  executeQuery: raw(db => db.executeQuery(compiled('select * from author'))),
  fn: pure('It builds text.', db => db.fn.countAll()),
  getExecutor: raw(db => db.getExecutor().executeQuery(compiled('select * from author'))),
  insertInto: raw(db => db.insertInto('author').values({ id: 9, mark: 'new' }).execute()),
  introspection: reads(db => db.introspection.getSchemas().then(() => undefined)),
  isTransaction: pure('It answers a fact.', db => db.isTransaction),
  mergeInto: raw(db => db.mergeInto('author').using('book', 'author.id', 'book.id').whenMatched().thenDelete().execute()),
  replaceInto: pure('PostgreSQL has none; it builds text.', db => db.replaceInto('author')),
  schema: raw(db => db.schema.alterTable('author').dropColumn('mark').execute()),
  selectFrom: raw(select),
  selectNoFrom: reads(db => db.selectNoFrom((eb: any) => eb.val(1).as('one')).execute()),
  startTransaction: transaction(async db => (await db.startTransaction().execute()).rollback().execute()),
  transaction: raw(db => db.transaction().execute(select)),
  updateTable: raw(db => db.updateTable('author').set({ mark: 'new' }).execute()),
  with: raw(db => select(db.with('x', (inner: any) => inner.selectFrom('author').selectAll()))),
  withPlugin: raw(db => select(db.withPlugin(plugin))),
  withRecursive: raw(db => select(db.withRecursive('x', (inner: any) => inner.selectFrom('author').selectAll()))),
  // A qualified name is found, whosever it is: strict mode is for that.
  withSchema: reads(db =>
    db.withSchema('pg_catalog').selectFrom('pg_namespace').select('nspname').where('nspname', '=', 'public').execute(),
  ),
  withTables: pure(TYPES, db => db.withTables()),
  withoutPlugins: raw(db => select(db.withoutPlugins())),
}

export const transactionBuilder: Table<any> = {
  execute: raw(builder => builder.execute(select)),
  setAccessMode: raw(builder => builder.setAccessMode('read write').execute(select)),
  setIsolationLevel: raw(builder => builder.setIsolationLevel('serializable').execute(select)),
}

const rolledBack = async (builder: any) => (await builder.execute()).rollback().execute()

export const controlledTransactionBuilder: Table<any> = {
  execute: transaction(rolledBack),
  setAccessMode: transaction(builder => rolledBack(builder.setAccessMode('read write'))),
  setIsolationLevel: transaction(builder => rolledBack(builder.setIsolationLevel('serializable'))),
}

export const connectionBuilder: Table<any> = { execute: raw(builder => builder.execute(select)) }
