/** Every public method of a repository. */
import { Author } from '../entities.ts'
import { all, pure, reads, stamps, writes, type Table } from '../table.ts'

export const classes = [
  { file: 'core/entity/EntityRepository.d.ts', name: 'EntityRepository' },
  { file: 'sql/SqlEntityRepository.d.ts', name: 'SqlEntityRepository' },
] as const

const author = () => ({ id: 9, mark: 'new', bio: 'new', version: 1, ...stamps() })

export const entityRepository: Table<any> = {
  assign: writes((repository, { author: changed, em }) => {
    repository.assign(changed, { mark: 'new' })
    return em.flush()
  }),
  canPopulate: pure('It looks at metadata.', repository => repository.canPopulate('books')),
  count: reads(repository => repository.count({ books: { mark: /row/ } })),
  countBy: reads(repository => repository.countBy('mark')),
  create: writes(repository => {
    repository.create(author())
    return repository.getEntityManager().flush()
  }),
  createQueryBuilder: reads(repository => repository.createQueryBuilder('a').select('*').getResult()),
  find: reads(repository => repository.find({ id: { $in: [1, 2] } }, { populate: ['books'] })),
  findAll: reads(repository => repository.findAll({ populate: ['books'], refresh: true })),
  findAndCount: reads(repository => repository.findAndCount({}, { limit: 1 })),
  findByCursor: reads(repository => repository.findByCursor({ first: 1, orderBy: { id: 'asc' } }).then((cursor: any) => cursor.items)),
  findOne: reads(repository => repository.findOne({ id: 1 })),
  findOneOrFail: reads(repository => repository.findOneOrFail({ id: 1 })),
  getEntityManager: reads(repository => repository.getEntityManager().find(Author, {})),
  getEntityName: pure('It answers a name.', repository => repository.getEntityName()),
  getReference: reads(repository => repository.getReference(1, { wrapped: true }).load({ refresh: true })),
  insert: writes(repository => repository.insert(author())),
  insertMany: writes(repository => repository.insertMany([author()])),
  map: pure('It makes an entity of a row in memory.', repository => repository.map({ id: 8, mark: 'given' })),
  merge: pure('It puts an entity under management.', (repository, { author: merged }) => repository.merge(merged)),
  nativeDelete: writes(repository =>
    repository.nativeDelete({ books: { mark: 'no such row' }, id: 1 }).then(() => repository.nativeUpdate({ id: 1 }, { mark: 'new' })),
  ),
  nativeUpdate: writes(repository => repository.nativeUpdate({ id: 1 }, { mark: 'new' })),
  populate: reads((repository, { author: populated }) => repository.populate([populated], ['books', 'bio'])),
  qb: reads(repository => repository.qb('a').select('*').getResult()),
  stream: reads(repository => all(repository.stream({ populate: ['books'] }))),
  upsert: writes(repository => repository.upsert(author())),
  upsertMany: writes(repository => repository.upsertMany([author(), { ...author(), id: 10 }])),
}
