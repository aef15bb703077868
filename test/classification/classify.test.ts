import { MikroORM, defineEntity, p, type EntitySchema } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { bothEntity, newId, scopeOf, sharedEntity, sharedHalfOf, tenantEntity } from 'mikro-tenantkit'
import { classify, refuseWrongRelations } from '../../src/classification/classify.ts'
import { serverUrl } from '../helpers/postgres.ts'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())
const plain = (name: string, extra: Record<string, unknown> = {}): EntitySchema =>
  defineEntity({ name, properties: { id: id() }, ...extra } as never) as unknown as EntitySchema
const own = (name: string) => tenantEntity({ name, properties: { id: id() } }) as unknown as EntitySchema
const shared = (name: string) => sharedEntity({ name, properties: { id: id() } }) as unknown as EntitySchema
const names = (entities: readonly EntitySchema[]) => entities.map(entity => entity.meta.className)

interface Refusal {
  code: string
  message: string
}

function refusalOf(work: () => unknown): Refusal {
  try {
    work()
  } catch (error) {
    assert.equal((error as Refusal).code, 'CONFIGURATION_INVALID', String(error))
    return error as Refusal
  }
  return assert.fail('nothing was refused')
}

/** What the discovery of the ORM says to these entities; no connection is opened. */
async function discoveryRefuses(entities: readonly unknown[]): Promise<string> {
  try {
    const orm = await MikroORM.init({
      entities: [...entities] as never,
      clientUrl: serverUrl(),
      connect: false,
      discovery: { afterDiscovered: refuseWrongRelations },
    } as never)
    await orm.close(true)
  } catch (error) {
    assert.equal((error as Refusal).code, 'CONFIGURATION_INVALID', String(error))
    return (error as Refusal).message
  }
  return ''
}

describe('classification', () => {
  it('takes the scope of the wrapper that was used', () => {
    const pair = bothEntity({ name: 'Pair', properties: { id: id() } })
    const plan = shared('Plan')
    const invoice = own('Invoice')
    const { all, shared: inShared, tenant } = classify([plan, invoice, pair])
    assert.deepEqual(names(all), ['Plan', 'Invoice', 'SharedPair', 'Pair'])
    assert.deepEqual(names(inShared), ['Plan', 'SharedPair'])
    assert.deepEqual(names(tenant), ['Invoice', 'Pair'])
    assert.deepEqual([scopeOf(plan), scopeOf(invoice), scopeOf(pair as never)], ['shared', 'tenant', 'both'])
    assert.equal(scopeOf(pair.shared as never), 'both')
    assert.equal(pair.shared.meta.tableName, 'pair')
    assert.equal(pair.shared.meta.schema, 'public')
    assert.equal(pair.tenant.meta.schema, '*')
    assert.isUndefined(scopeOf(plain('Nothing')))
  })

  it('the wrapper beats mixed, mixed beats both, and both beats shared and tenant', () => {
    const wrapped = own('Wrapped')
    const mixed = plain('Mixed')
    const both = plain('Both')
    const listed = plain('Listed')
    const result = classify([wrapped, mixed, both, listed], {
      shared: { 'modules/a': [wrapped, mixed, both, listed] },
      both: { 'modules/b': { mixed, both } },
      mixed: { Wrapped: 'shared', Mixed: 'tenant' },
    })
    assert.deepEqual([wrapped, mixed, both, listed].map(scopeOf), ['tenant', 'tenant', 'both', 'shared'])
    assert.deepEqual(names(result.all), ['Wrapped', 'Mixed', 'SharedBoth', 'Both', 'Listed'])
    assert.deepEqual(names(result.shared), ['SharedBoth', 'Listed'])
    assert.deepEqual(names(result.tenant), ['Wrapped', 'Mixed', 'Both'])
  })

  it('finds the entities of modules by themselves, and skips what is none', () => {
    const found = plain('Found')
    const { all } = classify([], { tenant: { 'modules/a': { Found: found, helper: () => 1, text: 'x', nothing: undefined } } })
    assert.deepEqual(names(all), ['Found'])
    assert.equal(found.meta.schema, '*')
  })

  it('both by configuration gives a shared half in the table of the same name', () => {
    const account = plain('UserAccount')
    const renamed = plain('Renamed', { tableName: 'other_name' })
    const options = { both: { 'modules/a': [account, renamed] } }
    const { shared: inShared, tenant } = classify([account], options)
    const half = sharedHalfOf(account)!
    assert.equal(half.meta.className, 'SharedUserAccount')
    assert.equal(half.meta.tableName, 'user_account')
    assert.equal(half.meta.schema, 'public')
    assert.equal(scopeOf(half), 'both')
    assert.equal(sharedHalfOf(renamed)!.meta.tableName, 'other_name')
    assert.include(inShared, half)
    assert.include(tenant, account)
    assert.isUndefined(sharedHalfOf(own('Single')))
    // Classified again, as the command line does: the same half.
    assert.include(classify([account], options).all, half)
    assert.equal(sharedHalfOf(account), half)
  })

  it('dual works as both, with a warning', async () => {
    const old = plain('Old')
    const warned = new Promise<Error & { code?: string }>(resolve => process.once('warning', resolve))
    classify([old], { dual: { 'modules/a': [old] } })
    const warning = await warned
    assert.equal(warning.name, 'DeprecationWarning')
    assert.equal(warning.code, 'TENANTKIT_DUAL')
    assert.equal(scopeOf(old), 'both')
    assert.isDefined(sharedHalfOf(old))
  })

  it('W001 names every entity without a scope', () => {
    const { message } = refusalOf(() => classify([plain('One'), own('Fine'), plain('Two'), plain('Three')]))
    assert.match(message, /tenantkit\.W001: no scope is given to One, Two, Three/)
    assert.notInclude(message, 'Fine')
  })

  it('an abstract entity and an embeddable need no scope', () => {
    const base = plain('Base', { abstract: true })
    const embedded = defineEntity({
      name: 'Address',
      embeddable: true,
      properties: { street: p.string() },
    } as never) as unknown as EntitySchema
    const { shared: inShared, tenant } = classify([base, embedded, own('Real')])
    assert.includeMembers(names(inShared), ['Base', 'Address'])
    assert.includeMembers(names(tenant), ['Base', 'Address', 'Real'])
  })

  it('lists every contradiction at once', () => {
    const twice = plain('Twice')
    const { message } = refusalOf(() =>
      classify([twice, plain('Unknown'), own('Same'), own('Same')], {
        shared: { 'modules/a': [twice] },
        tenant: { 'modules/a': [twice] },
        mixed: { Nobody: 'tenant' },
      }),
    )
    for (const part of [
      'The module modules/a is listed as shared and as tenant',
      'Twice is listed as shared and as tenant',
      'tenantkit.W001: no scope is given to Unknown',
      'Two entities are named Same',
      'classification.mixed names Nobody',
    ]) {
      assert.include(message, part)
    }
  })

  it('the shared half of a pair takes its name too', () => {
    const pair = bothEntity({ name: 'User', properties: { id: id() } })
    assert.include(refusalOf(() => classify([pair, shared('SharedUser')])).message, 'Two entities are named SharedUser')
  })

  it('a schema that does not follow from the scope is refused', () => {
    for (const [scope, schema] of [
      ['shared', '*'],
      ['shared', 'other'],
      ['tenant', 'public'],
      ['tenant', 'other'],
      ['both', 'other'],
    ] as const) {
      const entity = plain('Wrong', { schema })
      const { message } = refusalOf(() => classify([entity], { [scope]: { 'modules/a': [entity] } }))
      assert.include(message, `Wrong: a ${scope} entity must not set the schema "${schema}"`)
    }
    const right = plain('Right', { schema: 'public' })
    assert.deepEqual(names(classify([right], { shared: { 'modules/a': [right] } }).shared), ['Right'])
  })

  it('an audit field that is defined again is refused', () => {
    for (const field of ['createdAt', 'createdBy', 'updatedAt', 'updatedBy', 'deletedAt', 'deletedBy']) {
      for (const make of [sharedEntity, tenantEntity, bothEntity] as ((options: never) => unknown)[]) {
        const { message } = refusalOf(() => make({ name: 'Again', properties: { id: id(), [field]: p.string() } } as never))
        assert.include(message, `Again: ${field} come`)
      }
    }
    const { message } = refusalOf(() => sharedEntity({ name: 'Seen', properties: { id: id(), by: p.string() }, visibleTo: 'by' } as never))
    assert.include(message, 'Seen: by come')
  })

  it('a relation from shared to tenant is refused at start, whatever its kind', async () => {
    const Target: EntitySchema = own('Target')
    const relation = (name: string, properties: Record<string, unknown>) =>
      sharedEntity({ name, properties: { id: id(), ...properties } } as never)
    const toOne = relation('ToOne', { target: () => p.manyToOne(Target) })
    const toMany = relation('ToMany', { targets: () => p.manyToMany(Target) })
    const message = await discoveryRefuses([Target, toOne, toMany])
    assert.include(message, 'ToOne.target: a shared entity must not refer to the tenant entity Target')
    assert.include(message, 'ToMany.targets: a shared entity must not refer to the tenant entity Target')
    const pair = bothEntity({ name: 'Pair', properties: { id: id(), target: () => p.manyToOne(Target) } as never })
    assert.include(await discoveryRefuses([Target, pair.shared, pair.tenant]), 'SharedPair.target')
  })

  it('a relation from tenant to shared is allowed', async () => {
    const Target = shared('Target')
    const Source = tenantEntity({ name: 'Source', properties: { id: id(), target: () => p.manyToOne(Target) } as never })
    assert.equal(await discoveryRefuses([Target, Source]), '')
  })

  it('a table without an explicit schema is refused at start', async () => {
    assert.include(await discoveryRefuses([plain('Loose')]), 'Loose: a table needs an explicit schema')
    assert.include(await discoveryRefuses([plain('Elsewhere', { schema: 'other' })]), 'it has "other"')
  })
})
