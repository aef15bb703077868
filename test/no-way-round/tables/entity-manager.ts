/** Every public method of the EntityManager. */
import { LockMode, type EntityManager } from '@mikro-orm/postgresql'
import { Author, Book, Summary, Tag } from '../entities.ts'
import { all, pure, raw, reads, refused, stamps, transaction, writes, type Table } from '../table.ts'

export const classes = [
  { file: 'core/EntityManager.d.ts', name: 'EntityManager' },
  { file: 'sql/SqlEntityManager.d.ts', name: 'SqlEntityManager' },
  { file: 'sql/dialects/postgresql/BasePostgreSqlEntityManager.d.ts', name: 'BasePostgreSqlEntityManager' },
  { file: 'postgresql/PostgreSqlEntityManager.d.ts', name: 'PostgreSqlEntityManager' },
] as const

const tag = () => ({ id: 9, mark: 'new', ...stamps() })
const SESSION = 'A role or a search_path of its own would lead unqualified names and rights elsewhere.'
const routine = { name: 'whose', type: 'function', params: [] } as any

export const entityManager: Table<EntityManager> = {
  addFilter: pure('It adds a condition to queries of this EntityManager.', manager => manager.addFilter({ name: 'some', cond: { id: 1 } })),
  applyFilters: pure('It answers a condition.', manager => manager.applyFilters(Author, {}, {}, 'read')),
  assign: writes((manager, { author }) => {
    manager.assign(author, { mark: 'new' })
    return manager.flush()
  }),
  begin: transaction(async manager => {
    await manager.begin()
    await manager.rollback()
  }),
  cacheKey: pure('It answers a key.', manager => manager.cacheKey(Author, {}, 'find', {})),
  callRoutine: refused('A routine must be registered with the ORM, and this framework registers none.', manager =>
    manager.callRoutine(routine, {}),
  ),
  canPopulate: pure('It looks at metadata.', manager => manager.canPopulate(Author, 'books')),
  clear: pure('It empties the identity map.', manager => manager.clear()),
  clearCache: pure('It forgets an entry of the cache, whose key holds the tenant.', manager => manager.clearCache('some')),
  clearSessionContext: pure('It forgets what was staged in memory.', manager => manager.clearSessionContext()),
  clone: writes((manager, { tag: original }) => manager.clone(original, { id: 9 })),
  commit: transaction(async manager => {
    await manager.begin()
    await manager.commit()
  }),
  count: reads(manager => manager.count(Author)),
  countBy: reads(manager => manager.countBy(Author, 'mark')),
  create: writes(async (manager, { author }) => {
    manager.create(Book, { id: 9, mark: 'new', author })
    await manager.flush()
  }),
  createQueryBuilder: reads(manager => manager.createQueryBuilder(Author).getResult()),
  execute: raw(manager => manager.execute('select * from author')),
  find: reads((manager, { author }) => manager.find(Book, { author }, { populate: ['author', 'tags'], refresh: true })),
  findAll: reads(manager => manager.findAll(Author, { populate: ['books.tags'], strategy: 'joined', refresh: true })),
  findAndCount: reads(manager => manager.findAndCount(Author, { books: { tags: { mark: /row/ } } })),
  findByCursor: reads(manager => manager.findByCursor(Author, { first: 1, orderBy: { id: 'asc' } }).then(cursor => cursor.items)),
  findOne: reads(manager => manager.findOne(Author, { id: 1 }, { populate: ['*'] })),
  findOneOrFail: reads(manager => manager.findOneOrFail(Author, { mark: { $like: 'row%' } }, { orderBy: { id: 'desc' }, refresh: true })),
  flush: writes((manager, { author }) => {
    manager.persist(author)
    author.mark = 'new'
    return manager.flush()
  }),
  fork: reads(manager =>
    manager.fork({ clear: false, useContext: true, keepTransactionContext: true }).find(Author, {}, { refresh: true }),
  ),
  getComparator: pure('It compares objects in memory.', manager => manager.getComparator()),
  getConnection: reads(manager => manager.getConnection().execute('select 1')),
  getContext: reads(manager => manager.getContext().find(Tag, {})),
  getDataLoader: refused('The package `dataloader` is not installed.', manager => manager.getDataLoader('ref')),
  getDriver: reads(manager => manager.getDriver().find(Author.class, {}, {})),
  getEntityFactory: pure('It makes objects in memory.', manager => manager.getEntityFactory()),
  getEntityLoader: reads((manager, { author }) => manager.getEntityLoader().populate(Author, [author], [{ field: 'books' }] as never, {})),
  getEventManager: pure('It answers the listeners.', manager => manager.getEventManager()),
  getFilterParams: pure('It answers parameters.', manager => manager.getFilterParams('some')),
  getHydrator: pure('It fills objects in memory.', manager => manager.getHydrator()),
  getKysely: raw(manager => (manager.getKysely() as any).selectFrom('author').selectAll().execute()),
  getLoggerContext: pure('It answers what is logged.', manager => manager.getLoggerContext()),
  getMetadata: pure('It answers metadata.', manager => manager.getMetadata()),
  getPlatform: pure('It answers the dialect.', manager => manager.getPlatform()),
  getReference: reads(manager => manager.getReference(Author, 1, { wrapped: true }).load({ refresh: true })),
  getRepository: reads(manager => manager.getRepository(Author).findAll()),
  getSessionContext: pure('It answers what was staged in memory.', manager => manager.getSessionContext()),
  getTransactionContext: pure('It answers the open transaction.', manager => manager.getTransactionContext()),
  getTransactionSessionContext: pure('It answers what was staged in memory.', manager => manager.getTransactionSessionContext()),
  getUnitOfWork: pure('It answers the unit of work.', manager => manager.getUnitOfWork()),
  id: pure('It is a number.', manager => manager.id),
  insert: writes(manager => manager.insert(Tag, tag())),
  insertMany: writes((manager, { author }) => manager.insertMany(Book, [{ id: 9, mark: 'new', author, ...stamps() }])),
  isInTransaction: pure('It answers a fact.', manager => manager.isInTransaction()),
  lock: transaction((manager, { author }) => manager.transactional(inner => inner.lock(author, LockMode.PESSIMISTIC_WRITE))),
  map: pure('It makes an entity of a row in memory.', manager => manager.map(Author, { id: 8, mark: 'given' } as never)),
  merge: pure('It puts an entity under management.', (manager, { author }) => manager.merge(author)),
  nativeDelete: writes(manager => manager.nativeDelete(Summary, { id: 1 })),
  nativeUpdate: writes(manager => manager.nativeUpdate(Author, { id: 1, books: { mark: /row/ } }, { mark: 'new' })),
  persist: writes((manager, { author }) => {
    author.mark = 'new'
    return manager.persist(author).flush()
  }),
  populate: reads((manager, { author }) => manager.populate([author], ['books.tags', 'bio'])),
  preparePopulate: pure('It answers hints.', manager => manager.preparePopulate(Author, { populate: ['books'] })),
  qb: reads(manager => manager.qb(Author).getResult()),
  refresh: reads((manager, { author }) => manager.refresh(author)),
  refreshMaterializedView: refused('Only a materialised view can be refreshed, and this is none.', manager =>
    manager.refreshMaterializedView(Summary),
  ),
  refreshOrFail: reads((manager, { book }) => manager.refreshOrFail(book)),
  remove: writes((manager, { tag: removed }) => manager.remove(removed).flush()),
  repo: reads(manager => manager.repo(Author).findAll()),
  resetTransactionContext: pure('It forgets the open transaction.', manager => manager.resetTransactionContext()),
  rollback: transaction(async manager => {
    await manager.begin()
    await manager.rollback()
  }),
  schema: pure('It answers a name.', manager => manager.schema),
  setFilterParams: pure('It keeps parameters.', manager => manager.setFilterParams('some', { a: 1 })),
  setFlushMode: pure('It says when changes are written.', manager => manager.setFlushMode('commit')),
  setLoggerContext: pure('It says what is logged.', manager => manager.setLoggerContext({ a: 1 })),
  setSessionContext: refused(SESSION, manager => manager.setSessionContext({ role: 'some', variables: { search_path: 'public' } })),
  setTransactionContext: pure('It sets a transaction; one of another tenant is refused when it is used.', manager =>
    manager.setTransactionContext(undefined),
  ),
  storeCache: pure('It keeps an answer under a key that holds the tenant.', manager =>
    manager.storeCache(['some', 50], { key: 'some' }, () => 1),
  ),
  stream: reads(manager => all(manager.stream(Author, { populate: ['books'] }))),
  transactional: reads(manager => manager.transactional(inner => inner.find(Author, {}))),
  tryCache: pure('It asks the cache, whose key holds the tenant.', manager => manager.tryCache(Author, ['some', 50], ['some'])),
  tryFlush: writes((manager, { author }) => {
    manager.persist(author)
    author.mark = 'new'
    return manager.tryFlush(Author, { flushMode: 'always' })
  }),
  upsert: writes(manager => manager.upsert(Tag, tag())),
  upsertMany: writes((manager, { author }) => manager.upsertMany(Book, [{ id: 1, mark: 'new', author, ...stamps() }])),
  withSessionContext: pure('It only calls back where no session was staged.', manager =>
    manager.withSessionContext(undefined, () => Promise.resolve(1)),
  ),
}
