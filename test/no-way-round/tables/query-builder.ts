/** Every public method of the query builder. The target selects authors as `a` unless the call makes something else of it. */
import { QueryBuilder, QueryFlag, raw as fragment, sql } from '@mikro-orm/postgresql'
import { Author, Book, Summary } from '../entities.ts'
import { all, pure, reads, refused, stamps, writes, type Table } from '../table.ts'

export const classes = [{ file: 'sql/query/QueryBuilder.d.ts', name: 'QueryBuilder' }] as const

const STATE = 'It answers what the builder was told.'
const LOGS = 'It says what is logged.'
const author = () => ({ id: 9, mark: 'new', bio: 'new', version: 1, ...stamps() })
const mine = { mark: /row/ }
const onAuthor = { 'x.author_id': sql.ref('a.id') }

export const queryBuilder: Table<any> = {
  addPolymorphicJoin: pure('It notes a join, which is looked at when the query is made.', (qb, { em }) =>
    qb.addPolymorphicJoin(em.getMetadata(Book).properties.author, em.getMetadata(Author), 'a', 'x', 'left join', 'x'),
  ),
  addPropertyJoin: reads((qb, { em }) => {
    qb.select('*').addPropertyJoin(em.getMetadata(Author).properties.books, 'a', 'x', 'left join', 'Author.books')
    return qb.getResult()
  }),
  addSelect: reads(qb => qb.select('id').addSelect('mark').getResult()),
  addTPTParentJoins: pure('It joins the parents of an entity; this one has none.', (qb, { em }) =>
    qb.addTPTParentJoins(em.getMetadata(Author), 'a', ''),
  ),
  alias: pure(STATE, qb => qb.alias),
  andHaving: reads(qb => qb.select('mark').groupBy('mark').having('count(*) > 0').andHaving('count(*) > 0').execute()),
  andOrderBy: reads(qb => qb.select('*').orderBy({ id: 'asc' }).andOrderBy({ mark: 'asc' }).getResult()),
  andWhere: reads(qb => qb.select('*').where(mine).andWhere({ id: 1 }).getResult()),
  applyFilters: reads(async qb => {
    qb.select('*')
    await qb.applyFilters()
    return qb.getResult()
  }),
  applyJoinedFilters: reads(async (qb, { em }) => {
    qb.select('*').leftJoinAndSelect('a.books', 'b')
    await qb.applyJoinedFilters(em, {})
    return qb.getResult()
  }),
  as: reads((qb, { kept }) => qb.select(['mark', kept.select(fragment('min(mark)')).as('n')]).execute()),
  cache: reads(qb => qb.select('*').cache(['qb', 5]).limit(1).comment(String(Math.random())).getResult()),
  clone: reads(qb => qb.select('*').clone().clone().getResult()),
  collation: reads(qb => qb.select('*').collation('C').getResult()),
  comment: reads(qb => qb.select('*').comment('a comment').getResult()),
  count: reads(qb => qb.count().execute()),
  createAlias: pure('It answers an alias.', qb => qb.createAlias(Author, 'x')),
  delete: writes((qb, { em }) =>
    em
      .createQueryBuilder(Book)
      .delete({ id: 1 })
      .execute()
      .then(() => qb.delete({ id: 1 }).execute()),
  ),
  distinct: reads(qb => qb.select('mark').distinct().execute()),
  distinctOn: reads(qb => qb.select('*').distinctOn('id').getResult()),
  ensureTPTJoins: pure('It joins the parents of an entity; this one has none.', qb => qb.ensureTPTJoins()),
  execute: reads(qb => qb.select('*').execute('all')),
  from: reads((qb, { kept }) => qb.from(kept.select('*'), 'x').select('*').getResult()),
  getAliasForJoinPath: pure(STATE, qb => qb.getAliasForJoinPath('x')),
  getAliasMap: pure(STATE, qb => qb.getAliasMap()),
  getCount: reads(qb => qb.getCount()),
  getFormattedQuery: pure('It answers text.', qb => qb.select('*').getFormattedQuery()),
  getJoinForPath: pure(STATE, qb => qb.getJoinForPath('x')),
  getLoggerContext: pure(LOGS, qb => qb.getLoggerContext()),
  getNativeQuery: reads((qb, { em }) => em.execute(qb.select('*').getNativeQuery())),
  getNextAlias: pure('It answers a name.', qb => qb.getNextAlias('x')),
  getParams: pure('It answers values.', qb => qb.select('*').getParams()),
  getQuery: pure('It answers text.', qb => qb.select('*').getQuery()),
  getResult: reads(qb => qb.select('*').getResult()),
  getResultAndCount: reads(qb => qb.select('*').limit(1).getResultAndCount()),
  getResultList: reads(qb => qb.select('*').getResultList(1)),
  getSingleResult: reads(qb => qb.select('*').where({ id: 1 }).getSingleResult()),
  groupBy: reads(qb => qb.select('mark').groupBy('mark').execute()),
  hasFlag: pure(STATE, qb => qb.hasFlag(QueryFlag.DISTINCT)),
  having: reads(qb => qb.select('mark').groupBy('mark').having('count(*) > ?', [0]).execute()),
  helper: pure(STATE, qb => qb.helper),
  hintComment: reads(qb => qb.select('*').hintComment('a hint').getResult()),
  ignore: reads(qb =>
    qb
      .insert({ ...author(), id: 1 })
      .onConflict('id')
      .ignore()
      .execute(),
  ),
  indexHint: pure('PostgreSQL has none.', qb => qb.indexHint(undefined)),
  innerJoin: reads(qb => qb.select('*').innerJoin('a.books', 'b').innerJoin('b.tags', 't', { mark: /row/ }).getResult()),
  innerJoinAndSelect: reads(qb => qb.select('*').innerJoinAndSelect('a.books', 'b').innerJoinAndSelect('b.tags', 't').getResult()),
  innerJoinLateral: reads((qb, { keptBook }) => qb.select('a.mark').innerJoinLateral(keptBook.select('*'), 'x', onAuthor).execute()),
  innerJoinLateralAndSelect: reads((qb, { keptBook }) =>
    qb
      .select('*')
      .innerJoinLateralAndSelect(['a.books', keptBook.select('*')], 'x', {})
      .getResult(),
  ),
  insert: writes(qb => qb.insert(author()).execute()),
  insertFrom: refused('Its rows would bear the names and times of others.', (qb, { kept }) =>
    qb.insertFrom(kept.select(['id', 'mark'])).execute(),
  ),
  join: reads((qb, { keptBook }) => qb.select('a.mark').join(keptBook.select('*'), 'x', onAuthor).execute()),
  joinAndSelect: reads(qb => qb.select('*').joinAndSelect('a.books', 'b').getResult()),
  leftJoin: reads(qb => qb.select('*').leftJoin('a.books', 'b').where({ 'b.mark': /row/ }).getResult()),
  leftJoinAndSelect: reads(qb => qb.select('*').leftJoinAndSelect('a.books', 'b').leftJoinAndSelect('b.tags', 't').getResult()),
  leftJoinLateral: reads((qb, { keptBook }) => qb.select('a.mark').leftJoinLateral(keptBook.select('*'), 'x', onAuthor).execute()),
  leftJoinLateralAndSelect: reads((qb, { keptBook }) =>
    qb
      .select('*')
      .leftJoinLateralAndSelect(['a.books', keptBook.select('*')], 'x', {})
      .getResult(),
  ),
  limit: reads(qb => qb.select('*').leftJoinAndSelect('a.books', 'b').limit(1).getResult()),
  mainAlias: pure(STATE, qb => qb.mainAlias),
  merge: writes(qb =>
    qb
      .insert({ ...author(), id: 1 })
      .onConflict('id')
      .merge(['mark'])
      .execute(),
  ),
  offset: reads(qb => qb.select('*').orderBy({ id: 'asc' }).offset(1).getResult()),
  onConflict: writes(qb => qb.insert(author()).onConflict('id').ignore().execute()),
  orHaving: reads(qb => qb.select('mark').groupBy('mark').having('count(*) > 9').orHaving('count(*) > 0').execute()),
  orWhere: reads(qb => qb.select('*').where({ id: 1 }).orWhere({ id: 2 }).getResult()),
  orderBy: reads(qb =>
    qb
      .select('*')
      .orderBy({ books: { mark: 'asc' } })
      .getResult(),
  ),
  populate: reads(qb =>
    qb
      .select('*')
      .populate([{ field: 'books', strategy: 'joined' }])
      .getResult(),
  ),
  processPopulateHint: reads(qb => {
    qb.select('*')
      .populate([{ field: 'books', strategy: 'joined' }])
      .processPopulateHint()
    return qb.getResult()
  }),
  returning: writes(qb => qb.update({ mark: 'new' }).where({ id: 1 }).returning('*').execute()),
  scheduleFilterCheck: pure(STATE, qb => qb.scheduleFilterCheck('x')),
  select: reads(qb => qb.select([fragment('a.*'), fragment('(select 1) as one')]).execute()),
  setAbortOptions: pure('It says when a query is given up.', qb => qb.setAbortOptions(undefined)),
  setFlag: reads(qb => qb.select('*').leftJoin('a.books', 'b').setFlag(QueryFlag.PAGINATE).limit(1).getResult()),
  setFlushMode: reads(qb => qb.select('*').setFlushMode('always').getResult()),
  setLockMode: pure('A lock needs a transaction; the query is made as any other.', qb => qb.setLockMode(2)),
  setLoggerContext: pure(LOGS, qb => qb.setLoggerContext({})),
  setPartitionLimit: reads(qb => qb.select('*').setPartitionLimit({ partitionBy: 'mark', limit: 1 }).getResult()),
  state: pure(STATE, qb => qb.state),
  'static createDefaultState': pure('It makes an object.', () => QueryBuilder.createDefaultState()),
  stream: reads(qb => all(qb.select('*').stream())),
  toQuery: pure('It answers text.', qb => qb.select('*').toQuery()),
  toRaw: reads((qb, { kept }) =>
    qb
      .select('*')
      .where({ id: { $in: kept.select('id').toRaw() } })
      .getResult(),
  ),
  // A tenant's role may delete rows, and need not have the right to truncate.
  truncate: refused('Rows are deleted softly.', (_qb, { em }) => em.createQueryBuilder(Summary).truncate().execute()),
  type: pure(STATE, qb => qb.type),
  union: reads((qb, { kept }) => qb.select('mark').union(kept.select('mark')).execute()),
  unionAll: reads((qb, { kept }) => qb.select('mark').unionAll(kept.select('mark')).execute()),
  unsetFlag: pure(STATE, qb => qb.unsetFlag(QueryFlag.DISTINCT)),
  update: writes(qb =>
    qb
      .update({ mark: 'new' })
      .where({ books: { mark: /row/ } })
      .execute(),
  ),
  where: reads((qb, { keptBook }) =>
    qb
      .select('*')
      .where({ id: { $in: keptBook.select('author') } })
      .getResult(),
  ),
  with: reads((qb, { kept }) => qb.with('x', kept.select('*')).select('*').from('x').execute()),
  withRecursive: reads((qb, { kept }) => qb.withRecursive('x', kept.select('*')).select('*').from('x').execute()),
  withSchema: reads((qb, { em }) => qb.select('*').withSchema(em.schema).getResult()),
  withSubQuery: reads((qb, { keptBook }) =>
    qb
      .select('*')
      .withSubQuery(keptBook.count().where('author_id = a.id').getNativeQuery(), 'a.n')
      .where({ 'a.n': { $gt: 0 } })
      .execute(),
  ),
}
