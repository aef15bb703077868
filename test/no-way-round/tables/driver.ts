/** Every public method of the driver, which takes entities by class and rows by column. */
import { LockMode } from '@mikro-orm/postgresql'
import { Author, Book, Summary, Tag } from '../entities.ts'
import { all, pure, raw, reads, refused, stamps, transaction, writes, type Table } from '../table.ts'

export const classes = [
  { file: 'core/drivers/DatabaseDriver.d.ts', name: 'DatabaseDriver' },
  { file: 'sql/AbstractSqlDriver.d.ts', name: 'AbstractSqlDriver' },
  { file: 'postgresql/PostgreSqlDriver.d.ts', name: 'PostgreSqlDriver' },
] as const

const ROW = 'It maps a row in memory.'
const POOL = 'The pool is not one run’s to open or to close.'
const tag = () => ({ id: 9, mark: 'new', ...stamps() })

export const driver: Table<any> = {
  aggregate: pure('PostgreSQL has none.', target => target.aggregate(Author.class, [])),
  buildTPTDiscriminatorExpression: pure('It answers text.', (target, { em }) =>
    target.buildTPTDiscriminatorExpression(em.getMetadata(Author), [], {}, 'a'),
  ),
  close: refused(POOL, target => target.close()),
  connect: refused(POOL, target => target.connect()),
  convertException: pure('It answers an error.', target => target.convertException(new Error('x'))),
  count: reads(target => target.count(Author.class, { books: { mark: /row/ } })),
  countVirtual: pure('It counts virtual entities, and this is none.', target => target.countVirtual(Author.class, {}, {})),
  createEntityManager: reads(target => target.createEntityManager(false).find(Author, {})),
  createQueryBuilder: reads(target => target.createQueryBuilder(Author.class).select('*').execute()),
  evaluateFormula: pure('It answers text.', target => target.evaluateFormula(() => '1', {}, {})),
  execute: raw(target => target.execute('select * from author')),
  find: reads((target, { em }) => target.find(Author.class, {}, { schema: em.schema, populate: [{ field: 'books', strategy: 'joined' }] })),
  findOne: reads(target => target.findOne(Author.class, { id: 1 }, {})),
  findVirtual: pure('It reads virtual entities, and this is none.', target => target.findVirtual(Author.class, {}, {})),
  getConnection: reads(target => target.getConnection().execute('select 1')),
  getDependencies: pure('It answers names.', target => target.getDependencies()),
  getMetadata: pure('It answers metadata.', target => target.getMetadata()),
  getORMClass: pure('It answers a class.', target => target.getORMClass()),
  getPlatform: pure('It answers the dialect.', target => target.getPlatform()),
  getSchemaName: pure('It answers a name.', (target, { em }) => target.getSchemaName(em.getMetadata(Author))),
  getTableName: pure('It answers a name.', (target, { em }) => target.getTableName(em.getMetadata(Author), {})),
  joinedProps: pure('It answers names.', (target, { em }) => target.joinedProps(em.getMetadata(Author), [])),
  loadFromPivotTable: reads((target, { em }) => target.loadFromPivotTable(em.getMetadata(Book).properties.tags, [[1]])),
  lockPessimistic: transaction((_target, { em, author }) =>
    em.transactional(inner =>
      (inner.getDriver() as any).lockPessimistic(author, { lockMode: LockMode.PESSIMISTIC_READ, ctx: inner.getTransactionContext() }),
    ),
  ),
  mapDataToFieldNames: pure(ROW, target => target.mapDataToFieldNames({ id: 1 }, false)),
  mapPropToFieldNames: pure(ROW, (target, { kept, em }) =>
    target.mapPropToFieldNames(kept, em.getMetadata(Author).properties.id, 'a', em.getMetadata(Author)),
  ),
  mapResult: pure(ROW, (target, { em }) => target.mapResult({ id: 1 }, em.getMetadata(Author))),
  mergeJoinedResult: pure(ROW, (target, { em }) => target.mergeJoinedResult([], em.getMetadata(Author), [])),
  nativeClone: writes(target => target.nativeClone(Tag.class, { id: 1 }, { id: 9 })),
  nativeDelete: writes(target => target.nativeDelete(Summary.class, { id: 1 })),
  nativeInsert: writes(target => target.nativeInsert(Tag.class, tag())),
  nativeInsertMany: writes(target => target.nativeInsertMany(Tag.class, [tag(), { ...tag(), id: 10 }])),
  nativeUpdate: writes(target => target.nativeUpdate(Tag.class, { id: 1 }, { mark: 'new' })),
  nativeUpdateMany: writes(target => target.nativeUpdateMany(Tag.class, [{ id: 1 }, { id: 2 }], [{ mark: 'new' }, { mark: 'newer' }])),
  reconnect: refused(POOL, target => target.reconnect()),
  renderPartialIndexWhere: pure('It answers text.', target => target.renderPartialIndexWhere(Author.class, { id: 1 })),
  setMetadata: refused('Metadata belongs to the whole ORM.', target => target.setMetadata(target.getMetadata())),
  stream: reads(target => all(target.stream(Author.class, {}, { mapResults: false }))),
  syncCollections: writes(async (target, { book, em }) => {
    await book.tags.init()
    book.tags.removeAll()
    await target.syncCollections([book.tags], { em })
  }),
}
