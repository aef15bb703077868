/** The classes that lead from an application to SQL, each with its classified methods. */
import { Author } from './entities.ts'
import type { Subject } from './generated.ts'
import * as collections from './tables/collection.ts'
import * as connections from './tables/connection.ts'
import * as drivers from './tables/driver.ts'
import * as managers from './tables/entity-manager.ts'
import * as repositories from './tables/entity-repository.ts'
import * as kysely from './tables/kysely.ts'
import * as natives from './tables/native-query-builder.ts'
import * as builders from './tables/query-builder.ts'
import * as references from './tables/references.ts'
import * as units from './tables/unit-of-work.ts'

/** What works on entities. */
export const entitySubjects: readonly Subject[] = [
  {
    name: 'EntityManager',
    classes: managers.classes,
    table: managers.entityManager,
    target: scene => scene.em,
    control: manager => manager,
  },
  {
    name: 'EntityRepository',
    classes: repositories.classes,
    table: repositories.entityRepository,
    target: scene => scene.repository,
    control: manager => manager.getRepository(Author),
  },
  { name: 'Collection', classes: collections.classes, table: collections.collection, target: scene => scene.books },
  { name: 'Reference', classes: references.referenceClasses, table: references.reference, target: scene => scene.reference },
  { name: 'ScalarReference', classes: references.scalarClasses, table: references.scalarReference, target: scene => scene.bio },
  { name: 'WrappedEntity', classes: references.wrappedClasses, table: references.wrappedEntity, target: scene => scene.wrapped },
  { name: 'UnitOfWork', classes: units.classes, table: units.unitOfWork, target: scene => scene.uow },
]

/** What builds SQL or sends it. */
export const sqlSubjects: readonly Subject[] = [
  {
    name: 'QueryBuilder',
    classes: builders.classes,
    table: builders.queryBuilder,
    target: scene => scene.builder(),
    control: manager => manager.createQueryBuilder(Author, 'a'),
  },
  { name: 'NativeQueryBuilder', classes: natives.classes, table: natives.nativeQueryBuilder, target: scene => scene.native },
  {
    name: 'Driver',
    classes: drivers.classes,
    table: drivers.driver,
    target: scene => scene.driver,
    control: manager => manager.getDriver(),
  },
  { name: 'Connection', classes: connections.classes, table: connections.connection, target: scene => scene.connection },
  { name: 'Kysely', classes: kysely.classes, table: kysely.kysely, target: scene => scene.kysely },
  {
    name: 'Kysely.transaction()',
    classes: kysely.transactionBuilderClasses,
    table: kysely.transactionBuilder,
    target: scene => scene.kysely.transaction(),
  },
  {
    name: 'Kysely.startTransaction()',
    classes: kysely.controlledBuilderClasses,
    table: kysely.controlledTransactionBuilder,
    target: scene => scene.kysely.startTransaction(),
  },
  {
    name: 'Kysely.connection()',
    classes: kysely.connectionBuilderClasses,
    table: kysely.connectionBuilder,
    target: scene => scene.kysely.connection(),
  },
]

export const subjects: readonly Subject[] = [...entitySubjects, ...sqlSubjects]
