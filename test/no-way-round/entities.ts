/** The model of the generated suite: every row says whose it is, and every tenant has the same ids, so that a mix-up is seen. */
import { p } from '@mikro-orm/postgresql'
import { sharedEntity, tenantEntity } from 'mikro-tenantkit'

const id = () => p.integer().primary().autoincrement(false)

export const Country = sharedEntity({ name: 'Country', properties: { id: id(), code: p.string() } })
export const Author = tenantEntity({
  name: 'Author',
  properties: {
    id: id(),
    mark: p.string(),
    bio: p.text().lazy().ref(),
    version: p.integer().version(),
    country: () => p.manyToOne(Country).nullable(),
    books: () => p.oneToMany(Book).mappedBy('author'),
  },
})
export const Book = tenantEntity({
  name: 'Book',
  properties: {
    id: id(),
    mark: p.string(),
    author: () => p.manyToOne(Author).ref(),
    tags: () => p.manyToMany(Tag),
  },
})
export const Tag = tenantEntity({
  name: 'Tag',
  // A clone gets its id from the database.
  properties: {
    id: id().defaultRaw('(100 + random() * 1000000)::int'),
    mark: p.string(),
    books: () => p.manyToMany(Book).mappedBy('tags'),
  },
})
/** A table of marks in the form of a materialised view. */
export const Summary = tenantEntity({ name: 'Summary', properties: { id: id(), mark: p.string() } })

export const entities = [Country, Author, Book, Tag, Summary]
/** The tables of a tenant, in the order in which rows can be inserted. */
export const tables = ['author', 'book', 'tag', 'book_tags', 'summary'] as const
