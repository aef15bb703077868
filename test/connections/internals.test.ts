import { Collection, EntityManager, PostgreSqlConnection, PostgreSqlPlatform, UnitOfWork } from '@mikro-orm/postgresql'
import { AbstractSqlDriver, QueryBuilder } from '@mikro-orm/sql'
import { assert } from 'chai'
import manifest from '@mikro-orm/sql/package.json' with { type: 'json' }

const CONNECTION = [
  'connect', 'ensureConnection', 'close', 'getClient', 'prepareQuery', 'executeDump', 'execute', 'createKyselyDialect', 'setMetadata', 'setPlatform',
] // prettier-ignore
const DRIVER = [
  'getMetadata', 'getPlatform', 'getConnection', 'getSchemaName', 'createEntityManager', 'createQueryBuilder', 'joinedProps', 'find', 'findOne', 'count',
  'createQueryBuilderFromOptions', 'mapResult', 'rethrow',
  'stream', 'execute', 'nativeInsert', 'nativeInsertMany', 'nativeUpdate', 'nativeUpdateMany', 'nativeDelete', 'nativeClone', 'syncCollections', 'close',
  'getTableName', 'renderPartialIndexWhere', 'applyUnionWhere',
] // prettier-ignore
const BUILDER = [
  'toQuery',
  'withSchema',
  'clone',
  'from',
  'insert',
  'update',
  'delete',
  'truncate',
  'insertFrom',
  'onConflict',
  'merge',
  'returning',
  'execute',
]

/** A member of a class or of what it extends; getters are not called. */
function has(type: { prototype: object }, member: string): boolean {
  return member in type.prototype
}

describe('the members of MikroORM that the connections and drivers override', () => {
  it('are those of the version that was read', () => assert.equal(manifest.version, '7.2.1'))

  const expected: [string, { prototype: object }, string[]][] = [
    ['PostgreSqlConnection', PostgreSqlConnection, CONNECTION],
    ['AbstractSqlDriver', AbstractSqlDriver as unknown as { prototype: object }, DRIVER],
    ['QueryBuilder', QueryBuilder, [...BUILDER, 'mainAlias', 'type', 'state']],
    ['EntityManager', EntityManager, ['schema', 'getDriver', 'getContext', 'fork']],
    ['PostgreSqlPlatform', PostgreSqlPlatform, ['getDefaultSchemaName', 'getExceptionConverter']],
    ['UnitOfWork', UnitOfWork, ['persistToDatabase', 'getIdentityMap', 'unsetIdentity', 'getRemoveStack']],
    ['Collection', Collection, ['matching', 'getItems', 'loadItems']],
  ]
  for (const [name, type, members] of expected) {
    for (const member of members) it(`${name}.${member}`, () => assert.isTrue(has(type, member), `${name}.${member} is gone`))
  }
})
