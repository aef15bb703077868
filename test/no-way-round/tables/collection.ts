/** Every public method of a collection: the target is not initialised, and its owner has one book with the id 2. */
import { Collection } from '@mikro-orm/postgresql'
import { Book } from '../entities.ts'
import { pure, reads, writes, type Table } from '../table.ts'

export const classes = [{ file: 'core/entity/Collection.d.ts', name: 'Collection' }] as const

const MEMORY = 'It looks at what is in memory.'
const UNFLUSHED = 'It changes memory; the flush that would write it is guarded.'

export const collection: Table<any> = {
  '[Symbol.iterator]': pure(MEMORY, books => [...books]),
  add: writes(async (books, { em }) => {
    books.add(em.create(Book, { id: 9, mark: 'new', author: books.owner }))
    await em.flush()
  }),
  addWithoutPropagation: pure(UNFLUSHED, (books, { book }) => books.addWithoutPropagation(book)),
  contains: pure(MEMORY, (books, { book }) => books.contains(book)),
  count: pure(MEMORY, books => books.count()),
  exists: pure(MEMORY, books => books.exists(() => true)),
  filter: pure(MEMORY, books => books.filter(() => true)),
  find: pure(MEMORY, books => books.find(() => true)),
  getIdentifiers: pure(MEMORY, books => books.getIdentifiers()),
  getItems: pure(MEMORY, books => books.getItems(false)),
  getSnapshot: pure(MEMORY, books => books.getSnapshot()),
  hydrate: pure('It fills memory with given objects.', (books, { book }) => books.hydrate([book])),
  indexBy: pure(MEMORY, books => books.indexBy('id')),
  init: reads(books => books.init({ populate: ['tags'] })),
  isDirty: pure(MEMORY, books => books.isDirty()),
  isEmpty: pure(MEMORY, books => books.isEmpty()),
  isInitialized: pure(MEMORY, books => books.isInitialized()),
  isPartial: pure(MEMORY, books => books.isPartial()),
  length: pure(MEMORY, books => books.length),
  load: reads(books => books.load()),
  loadCount: reads(books => books.loadCount({ refresh: true, where: { mark: /row/ } })),
  loadItems: reads(books => books.loadItems()),
  map: pure(MEMORY, books => books.map(() => 1)),
  matching: reads(books => books.matching({ where: { mark: /row/ }, populate: ['tags'] })),
  populated: pure('It marks what is serialised.', books => books.populated()),
  property: pure('It answers metadata.', books => books.property),
  reduce: pure(MEMORY, books => books.reduce((sum: number) => sum + 1, 0)),
  remove: writes(async (books, { em }) => {
    await books.init({ populate: ['tags'] })
    const [book] = books.getItems()
    book.tags.remove(book.tags.getItems()[0])
    await em.flush()
  }),
  removeAll: writes(async (books, { em }) => {
    const [book] = await books.loadItems({ populate: ['tags'] })
    book.tags.removeAll()
    await em.flush()
  }),
  removeWithoutPropagation: pure(UNFLUSHED, (books, { book }) => books.removeWithoutPropagation(book)),
  set: writes(async (books, { em, tag }) => {
    const [book] = await books.loadItems({ populate: ['tags'] })
    book.tags.set([em.getReference(tag.constructor as never, 1 as never)])
    await em.flush()
  }),
  setDirty: pure(UNFLUSHED, books => books.setDirty()),
  shouldPopulate: pure(MEMORY, books => books.shouldPopulate()),
  slice: pure(MEMORY, books => books.slice()),
  'static create': pure('It makes a collection in memory.', (books, { author }) =>
    Collection.create(author as any, 'books' as never, undefined, false),
  ),
  'static isCollection': pure(MEMORY, books => Collection.isCollection(books)),
  takeSnapshot: pure(MEMORY, books => books.takeSnapshot()),
  toArray: pure(MEMORY, books => books.toArray()),
  toJSON: pure(MEMORY, books => books.toJSON()),
}
