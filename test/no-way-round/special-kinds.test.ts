/** Special kinds of entities, in both isolations: inheritance, embeddables, pivots, polymorphic relations, views and virtual entities. */
import { p, wrap } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { controlEm, createTenancy, em, sharedEntity, tenantEntity } from 'mikro-tenantkit'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { actor } from './scene.ts'
import * as model from './special-entities.ts'
import { sentDuring } from '../helpers/spy.ts'

const { Dog, Car, NodeView, NodeSummary, NodeByBuilder, NodeByText, ...wrapped } = model
const { Animal, Comment, Country, Group, Membership, Node, Vehicle } = model
const children = { Dog, Car, NodeView, NodeSummary, NodeByBuilder, NodeByText }
const slugs = ['acme', 'globex'] as const
type Slug = (typeof slugs)[number]

let kit: TestTenancy

const inTenant = <T>(slug: Slug, work: (mark: string) => Promise<T>) => kit.tenancy.run(slug, () => work(`row of ${slug}`), { actor })
const find = (entity: any, where: any = {}, options: any = {}): Promise<any[]> => em().fork().find(entity, where, options)
const marksOf = (rows: any[]) => rows.map(row => row.mark)

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing was refused'
}

async function fill(slug: Slug): Promise<void> {
  await inTenant(slug, async mark => {
    const add = (entity: any, data: object) => em().create(entity, { id: 1, mark, ...data } as never) as any
    add(Dog, { tricks: mark })
    add(Animal, { id: 2 })
    add(Car, { doors: 4 })
    add(Vehicle, { id: 2 })
    const node = add(Node, { address: { city: 'x', mark }, addresses: [{ city: 'y', mark }] })
    const group = add(Group, {})
    await em().flush()
    node.next.add(node)
    em().create(Membership, { node, group, mark } as never)
    add(Comment, { subject: group })
    add(Comment, { id: 2, subject: node })
    await em().flush()
  })
}

describe('no way round: special kinds of entities', function () {
  this.timeout(20_000)

  before(async () => {
    kit = await testTenancy({ entities: Object.values(wrapped) as never, classification: { tenant: { children } } })
    await twoTenants(kit)
    for (const slug of slugs) await fill(slug)
  })
  after(() => kit[Symbol.asyncDispose]())

  it('none of them is reached without a tenant, nor through the control plane', async () => {
    const kinds = [Animal, Dog, Vehicle, Car, Node, Group, Membership, Comment, NodeView, NodeSummary, NodeByBuilder, NodeByText] as any[]
    for (const slug of slugs) {
      const kept = await inTenant(slug, async () => ({ manager: em() }))
      for (const kind of kinds) {
        const sent = await sentDuring(async () => {
          for (const name of ['find', 'count', 'findOne', 'nativeDelete'] as const)
            assert.equal(await codeOf(() => (kept.manager as any)[name](kind, { mark: 'x' })), 'NO_TENANT_CONTEXT', kind.meta.className)
          await kit.asSystem(async () => {
            assert.equal(await codeOf(() => controlEm().find(kind, {})), 'NO_TENANT_CONTEXT', kind.meta.className)
            assert.equal(await codeOf(() => controlEm().count(kind, {})), 'NO_TENANT_CONTEXT', kind.meta.className)
          })
        })
        assert.isEmpty(sent, kind.meta.className)
      }
    }
  })

  for (const slug of slugs) {
    describe(`in ${slug}`, () => {
      it('one table for a hierarchy: parents and children', () =>
        inTenant(slug, async mark => {
          assert.deepEqual(marksOf(await find(Animal, {}, { orderBy: { id: 'asc' } })), [mark, mark])
          assert.deepEqual(marksOf(await find(Dog)), [mark])
          assert.equal(await em().nativeUpdate(Dog, { id: 1 }, { tricks: 'new' } as never), 1)
          assert.equal(await em().count(Animal, { id: 1 } as never), 1)
        }))

      it('a table for each type: parents and children', () =>
        inTenant(slug, async mark => {
          assert.deepEqual(marksOf(await find(Vehicle, {}, { orderBy: { id: 'asc' } })), [mark, mark])
          const [car] = await find(Car)
          assert.deepInclude(wrap(car).toObject(), { mark, doors: 4 })
          assert.equal(await em().count(Car, { mark } as never), 1)
        }))

      it('a table for each type is written in its own tenant', () =>
        inTenant(slug, async mark => {
          const manager = em().fork()
          const car: any = await manager.findOneOrFail(Car, { id: 1 } as never)
          car.doors = 5
          car.mark = `${mark}, changed`
          await manager.flush()
          assert.deepEqual(marksOf(await find(Car)), [`${mark}, changed`])
          car.mark = mark
          await manager.flush()
        }))

      it('embedded objects and formulas', () =>
        inTenant(slug, async mark => {
          const [node] = await find(Node, { address: { mark } })
          assert.equal(node.address.mark, mark)
          assert.equal(node.addresses[0].mark, mark)
          assert.equal(node.upper, mark.toUpperCase())
        }))

      for (const strategy of ['joined', 'select-in', 'balanced']) {
        it(`pivots from both sides, to itself and as an entity, ${strategy}`, () =>
          inTenant(slug, async mark => {
            const [node] = await find(Node, {}, { populate: ['next', 'previous', 'groups'], strategy })
            for (const name of ['next', 'previous', 'groups']) assert.deepEqual(marksOf(node[name].getItems()), [mark], name)
            const [group] = await find(Group, { nodes: { mark } }, { populate: ['nodes.next'], strategy })
            assert.deepEqual(marksOf(group.nodes.getItems()), [mark])
            assert.deepEqual(marksOf(await find(Membership, {}, { populate: ['node', 'group'], strategy })), [mark])
            assert.deepEqual(marksOf(await node.next.matching({ where: { mark } })), [mark])
            assert.deepEqual(marksOf(await group.nodes.matching({})), [mark])
            assert.equal(await node.groups.loadCount({ refresh: true }), 1)
          }))

        it(`a relation to one of several entities, ${strategy}`, () =>
          inTenant(slug, async mark => {
            const comments = await find(Comment, {}, { populate: ['subject'], strategy, orderBy: { id: 'asc' } })
            assert.deepEqual(
              comments.map(comment => [comment.subject.constructor.name, comment.subject.mark]),
              [
                ['Group', mark],
                ['Node', mark],
              ],
            )
          }))
      }

      it('a relation to one of several entities refuses one of another tenant', async () => {
        const other = slugs.find(name => name !== slug)!
        const theirs = await inTenant(other, async () => (await find(Node))[0])
        await inTenant(slug, async () => {
          const sent = await sentDuring(async () => {
            em().create(Comment, { id: 9, mark: 'x', subject: theirs } as never)
            assert.equal(await codeOf(() => em().flush()), 'CROSS_TENANT_ENTITY')
          })
          assert.isEmpty(sent)
        })
      })

      it('a view, and a materialised one that is refreshed', () =>
        inTenant(slug, async mark => {
          assert.deepEqual(marksOf(await find(NodeView)), [mark])
          let answer = ''
          const sent = await sentDuring(async () => (answer = await codeOf(() => em().refreshMaterializedView(NodeSummary))))
          assert.match(sent.map(({ text }) => text).join(), new RegExp(`"${em().schema}"\\."node_summary"`))
          // Only its owner refreshes it: in a database of its own the tenant's role does not own the tables.
          assert.equal(answer, slug === 'acme' && !kit.options.isolation?.strict ? 'nothing was refused' : '42501')
          assert.deepEqual(marksOf(await find(NodeSummary)), answer === '42501' ? [] : [mark])
        }))

      it('a virtual entity over a builder; one over text without a schema finds no table', () =>
        inTenant(slug, async mark => {
          assert.deepEqual(marksOf(await find(NodeByBuilder)), [mark])
          assert.equal(await em().count(NodeByBuilder, {}), 1)
          assert.equal(await codeOf(() => find(NodeByText)), 'NO_TENANT_CONTEXT')
          assert.equal(await codeOf(() => em().count(NodeByText, {})), 'NO_TENANT_CONTEXT')
        }))
    })
  }

  it('many to many between a tenant and the control plane is refused at start', async () => {
    const Badge = sharedEntity({ name: 'Badge', properties: { id: p.integer().primary() } })
    const Wearer = tenantEntity({ name: 'Wearer', properties: { id: p.integer().primary(), badges: () => p.manyToMany(Badge) } })
    assert.equal(
      await codeOf(() => createTenancy({ ...kit.options, entities: [Badge, Wearer], classification: {} })),
      'CONFIGURATION_INVALID',
    )
  })

  it('a shared entity that may refer to one of a tenant among others is refused at start', async () => {
    const Local = tenantEntity({ name: 'Local', properties: { id: p.integer().primary() } })
    const Global = sharedEntity({
      name: 'Global',
      properties: { id: p.integer().primary(), any: () => p.manyToOne([Country, Local] as never).nullable() },
    })
    const start = () => createTenancy({ ...kit.options, entities: [Country, Local, Global], classification: {} })
    assert.equal(await codeOf(start), 'CONFIGURATION_INVALID')
  })

  it('virtual entities and views without a scope are refused at start', async () => {
    for (const entity of [NodeByBuilder, NodeView]) {
      entity.meta.schema = undefined
      for (const symbol of Object.getOwnPropertySymbols(entity.meta)) delete entity.meta[symbol]
      assert.equal(await codeOf(() => createTenancy({ ...kit.options, entities: [entity], classification: {} })), 'CONFIGURATION_INVALID')
    }
  })
})
