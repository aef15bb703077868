/** The special kinds of entities: inheritance, embeddables, pivots, polymorphic relations, views and virtual entities. */
import { defineEntity, p, type EntityManager } from '@mikro-orm/postgresql'
import { sharedEntity, tenantEntity } from 'mikro-tenantkit'

const id = () => p.integer().primary().autoincrement(false)

export const Country = sharedEntity({ name: 'Country', properties: { id: id(), code: p.string() } })

// Single table inheritance.
export const Animal = tenantEntity({
  name: 'Animal',
  discriminatorColumn: 'kind',
  discriminatorValue: 'animal',
  properties: { id: id(), kind: p.string(), mark: p.string() },
} as never) as any
export const Dog = defineEntity({
  name: 'Dog',
  extends: Animal,
  discriminatorValue: 'dog',
  properties: { tricks: p.string().nullable() },
} as never) as any

// A table for each type.
export const Vehicle = tenantEntity({ name: 'Vehicle', inheritance: 'tpt', properties: { id: id(), mark: p.string() } } as never) as any
export const Car = defineEntity({ name: 'Car', extends: Vehicle, properties: { doors: p.integer() } } as never) as any

export const Address = defineEntity({
  name: 'Address',
  embeddable: true,
  properties: { city: p.string(), mark: p.string() },
} as never) as any

// Pivots: owner, inverse, to itself, to a shared entity, and one that is an entity.
export const Node = tenantEntity({
  name: 'Node',
  properties: {
    id: id(),
    mark: p.string(),
    address: () => p.embedded(Address).nullable(),
    addresses: () => p.embedded(Address).array().nullable(),
    next: () => p.manyToMany(Node),
    previous: () => p.manyToMany(Node).mappedBy('next'),
    groups: () => p.manyToMany(Group).pivotEntity(() => Membership),
    upper: p
      .string()
      .formula((columns: any) => `upper(${columns.mark})`)
      .persist(false),
  },
} as never) as any
export const Group = tenantEntity({
  name: 'Group',
  properties: { id: id(), mark: p.string(), nodes: () => p.manyToMany(Node).mappedBy('groups') },
} as never) as any
export const Membership = tenantEntity({
  name: 'Membership',
  properties: {
    node: () => p.manyToOne(Node).primary(),
    group: () => p.manyToOne(Group).primary(),
    mark: p.string().default('row of a pivot'),
  },
} as never) as any

// A relation to one of several entities.
export const Comment = tenantEntity({
  name: 'Comment',
  properties: { id: id(), mark: p.string(), subject: () => p.manyToOne([Node, Group] as never).nullable() },
} as never) as any

export const NodeView = defineEntity({
  name: 'NodeView',
  view: true,
  expression: 'select id, mark from node',
  properties: { id: p.integer().primary(), mark: p.string() },
} as never) as any
export const NodeSummary = defineEntity({
  name: 'NodeSummary',
  view: { materialized: true },
  expression: 'select mark, count(*)::int as n from node group by mark',
  properties: { mark: p.string().primary(), n: p.integer() },
} as never) as any
export const NodeByBuilder = defineEntity({
  name: 'NodeByBuilder',
  expression: (em: EntityManager) => em.createQueryBuilder(Node, 'n').select(['n.id', 'n.mark'] as never),
  properties: { id: p.integer(), mark: p.string() },
} as never) as any
export const NodeByText = defineEntity({
  name: 'NodeByText',
  expression: 'select id, mark from node',
  properties: { id: p.integer(), mark: p.string() },
} as never) as any
