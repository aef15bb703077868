/** Every public method of references, lazy scalars and wrapped entities. */
import { Reference, ScalarReference } from '@mikro-orm/postgresql'
import { Author, Book } from '../entities.ts'
import { pure, reads, writes, type Table } from '../table.ts'

export const referenceClasses = [{ file: 'core/entity/Reference.d.ts', name: 'Reference' }] as const
export const scalarClasses = [{ file: 'core/entity/Reference.d.ts', name: 'ScalarReference' }] as const
export const wrappedClasses = [{ file: 'core/entity/WrappedEntity.d.ts', name: 'WrappedEntity' }] as const

const MEMORY = 'It looks at what is in memory.'
const UNFLUSHED = 'It changes memory; the flush that would write it is guarded.'

/** Of a book's author, who was not loaded. */
export const reference: Table<any> = {
  getEntity: pure(MEMORY, author => author.getEntity()),
  getProperty: pure(MEMORY, author => author.getProperty('id')),
  isInitialized: pure(MEMORY, author => author.isInitialized()),
  load: reads(author => author.load({ populate: ['books'] })),
  loadOrFail: reads(author => author.loadOrFail({ refresh: true })),
  loadProperty: reads(author => author.loadProperty('mark')),
  populated: pure('It marks what is serialised.', author => author.populated()),
  'static create': pure(MEMORY, author => Reference.create(author.unwrap())),
  'static createFromPK': pure('It makes a reference that belongs to no EntityManager.', () =>
    Reference.createFromPK(Author.class, 1 as never),
  ),
  'static createNakedFromPK': pure('It makes an entity that belongs to no EntityManager.', () =>
    Reference.createNakedFromPK(Author.class, 1 as never),
  ),
  'static isReference': pure(MEMORY, author => Reference.isReference(author)),
  'static unwrapReference': pure(MEMORY, author => Reference.unwrapReference(author)),
  'static wrapReference': pure(MEMORY, (author, { em }) =>
    Reference.wrapReference(author.unwrap(), em.getMetadata(Book).properties.author as never),
  ),
  toJSON: pure(MEMORY, author => author.toJSON()),
  unwrap: pure(MEMORY, author => author.unwrap()),
}

/** A lazy property that was not loaded. */
export const scalarReference: Table<any> = {
  bind: pure(MEMORY, (bio, { author }) => bio.bind(author, 'bio')),
  isInitialized: pure(MEMORY, bio => bio.isInitialized()),
  load: reads(bio => bio.load()),
  loadOrFail: reads(bio => bio.loadOrFail()),
  set: writes((bio, { em }) => {
    bio.set('new')
    return em.flush()
  }),
  'static isScalarReference': pure(MEMORY, bio => ScalarReference.isScalarReference(bio)),
  unwrap: pure(MEMORY, bio => bio.unwrap()),
}

/** `wrap(author)`. */
export const wrappedEntity: Table<any> = {
  __config: pure(MEMORY, author => author.__config),
  __meta: pure(MEMORY, author => author.__meta),
  __platform: pure(MEMORY, author => author.__platform),
  __primaryKeys: pure(MEMORY, author => author.__primaryKeys),
  assign: writes((author, { em }) => {
    author.assign({ mark: 'new' })
    return em.flush()
  }),
  getPrimaryKey: pure(MEMORY, author => author.getPrimaryKey()),
  getPrimaryKeys: pure(MEMORY, author => author.getPrimaryKeys()),
  getSchema: pure(MEMORY, author => author.getSchema()),
  getSerializedPrimaryKey: pure(MEMORY, author => author.getSerializedPrimaryKey()),
  getSerializedTargetKey: pure(MEMORY, author => author.getSerializedTargetKey()),
  getTargetKeyValue: pure(MEMORY, author => author.getTargetKeyValue()),
  hasPrimaryKey: pure(MEMORY, author => author.hasPrimaryKey()),
  init: reads(author => author.init({ populate: ['books'] })),
  isInitialized: pure(MEMORY, author => author.isInitialized()),
  isManaged: pure(MEMORY, author => author.isManaged()),
  populate: reads(author => author.populate(['books'])),
  populated: pure('It marks what is serialised.', author => author.populated()),
  serialize: pure(MEMORY, author => author.serialize({ populate: ['books'] })),
  setPrimaryKey: pure(UNFLUSHED, author => author.setPrimaryKey(2)),
  setSchema: pure(`${UNFLUSHED} A schema that is not the tenant's is refused there.`, author => author.setSchema(author.getSchema())),
  setSerializationContext: pure('It says what is serialised.', author => author.setSerializationContext({})),
  toJSON: pure(MEMORY, author => author.toJSON()),
  toObject: pure(MEMORY, author => author.toObject()),
  toPOJO: pure(MEMORY, author => author.toPOJO()),
  toReference: reads(author => author.toReference().load({ refresh: true })),
}
