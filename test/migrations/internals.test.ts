import { MigrationGenerator, Migrator, TSMigrationGenerator } from '@mikro-orm/migrations'
import { MikroORM, PostgreSqlPlatform } from '@mikro-orm/postgresql'
import { PostgreSqlSchemaHelper, SqlSchemaGenerator } from '@mikro-orm/sql'
import { assert } from 'chai'
import { Country, Tag } from './fixture/entities.ts'
import { workspace } from './workspace.ts'

describe('the members of MikroORM that migrations override', () => {
  const expected: [string, object, string[]][] = [
    [
      'PostgreSqlSchemaHelper',
      PostgreSqlSchemaHelper.prototype,
      [
        'getIgnoredNamespacesConditionSQL',
        'getAddColumnsSQL',
        'getPrimaryKeyConstraintPrefix',
        'dropForeignKey',
        'createTableColumn',
        'alterTableColumn',
        'getDropNativeEnumSQL',
      ],
    ],
    [
      'SqlSchemaGenerator',
      SqlSchemaGenerator.prototype,
      [
        'getOrderedMetadata',
        'getTargetSchema',
        'prepareSchemaForComparison',
        'getUpdateSchemaSQL',
        'ensureDatabase',
        'create',
        'update',
        'drop',
        'clear',
        'dropDatabase',
      ],
    ],
    [
      'Migrator',
      Migrator.prototype,
      [
        'create',
        'createInitial',
        'checkSchema',
        'getSchemaDiff',
        'hasSnapshot',
        'getSchemaFromSnapshot',
        'storeCurrentSchema',
        'up',
        'down',
        'getPending',
        'getExecuted',
        'rollup',
        'logMigration',
        'unlogMigration',
      ],
    ],
    ['TSMigrationGenerator', TSMigrationGenerator.prototype, ['generateMigrationFile', 'generate']],
    ['MigrationGenerator', MigrationGenerator.prototype, ['generate']],
    ['PostgreSqlPlatform', PostgreSqlPlatform.prototype, ['getDefaultSchemaName']],
    ['MikroORM', MikroORM.prototype, ['createEntityManager']],
  ]
  for (const [name, prototype, members] of expected) {
    it(`exist on ${name}`, () => {
      for (const member of members) assert.isFunction((prototype as Record<string, unknown>)[member], member)
    })
  }

  it('leave the prototypes of the entities to the ORM of the application', async () => {
    const orm = await MikroORM.init({ entities: [Country, Tag], dbName: 'none', discovery: { warnWhenNoEntities: false } })
    const configOf = () => [Country, Tag].map(entity => (entity.meta.class.prototype as { __config: unknown }).__config)
    assert.deepEqual(
      configOf().map(config => config === orm.config),
      [true, true],
    )
    using space = workspace()
    await space.migrations('postgres://nobody@127.0.0.1:9/none').createFile('tenant', 'first')
    await space.migrations('postgres://nobody@127.0.0.1:9/none').preparedScript('schema')
    assert.deepEqual(
      configOf().map(config => config === orm.config),
      [true, true],
    )
  })
})
