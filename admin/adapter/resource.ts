/**
 * An entity as a resource of AdminJS. Built once from metadata; it holds no EntityManager and asks the active context for one, so that a
 * request can only ever reach what its own run reaches.
 */
import { LockMode, type Collection, type EntityManager, type EntityMetadata } from '@mikro-orm/postgresql'
import { BaseResource, flat, type ActionContext, type BaseRecord, type Filter, type ParamsType } from 'adminjs'
import { SOFT_DELETE_FILTER } from '../../src/audit/audit-fields.ts'
import { VISIBILITY_FILTER } from '../../src/classification/visibility.ts'
import { planeOf } from '../../src/classification/scope.ts'
import { isInTenant, managerFor, type Access } from './access.ts'
import { idsOf, membersFrom, putMembers } from './collections.ts'
import { atFields, notice, shown, type FieldProblems } from './problems.ts'
import { assertHidden, hashesOf, type Passwords } from './passwords.ts'
import { pathOf, propertiesOf, putAt, valueAt, type IsNamed } from './properties.ts'
import type { MikroProperty } from './property.ts'
import { MikroRecord } from './record.ts'
import { FieldError, fromForm, toForm } from './values.ts'

type Params = Readonly<Record<string, unknown>>
type Row = Record<string, unknown>

interface FindOptions {
  readonly limit?: number
  readonly offset?: number
  readonly sort?: { readonly sortBy?: string; readonly direction?: 'asc' | 'desc' }
}

/** The name of the filter that chooses between live and deleted rows. */
export const STATUS_FILTER = 'soft_delete_status'
const MAX_ROWS = 500
const MAX_OFFSET = 10_000_000
/** What a conflict of two editors is seen by: the row as it was when the form was opened. */
const STALE = 'Someone else changed this record meanwhile. Reload it, then repeat the change.'

export class MikroResource extends BaseResource {
  readonly meta: EntityMetadata
  readonly plane: 'shared' | 'tenant'
  readonly hasSoftDelete: boolean
  readonly #properties: ReadonlyMap<string, MikroProperty>
  readonly #key: MikroProperty
  readonly #collections: readonly MikroProperty[]
  /** What was counted already, by the filter of the request. */
  readonly #counted = new WeakMap<Filter, Promise<number>>()
  readonly #passwords: Passwords
  /** What leaves the server in no answer, and is neither filtered nor sorted by. */
  readonly #hidden: ReadonlySet<string>

  /** @throws CONFIGURATION_INVALID for a composite key, and for a password that is not hidden */
  constructor(meta: EntityMetadata, passwords: Passwords = {}, isNamed: IsNamed = () => true, hide: readonly string[] = []) {
    super()
    // What two editors are told apart by must reach the form.
    this.#hidden = new Set(hide.filter(name => name !== meta.versionProperty && name !== meta.primaryKeys[0]))
    assertHidden(meta, passwords)
    this.#passwords = passwords
    this.meta = meta
    this.plane = planeOf(meta)
    this.hasSoftDelete = 'deletedAt' in meta.properties
    this.#properties = propertiesOf(meta, isNamed)
    this.#collections = this.properties().filter(({ kind }) => kind === 'collection')
    this.#key = this.#properties.get(meta.primaryKeys[0]!)!
  }

  /** Instances are handed to AdminJS: its registry of adapters is one for the whole process. */
  static override isAdapterFor(): boolean {
    return false
  }

  override id(): string {
    return this.meta.className
  }

  override databaseName(): string {
    return this.plane
  }

  override databaseType(): string {
    return 'postgres'
  }

  override properties(): MikroProperty[] {
    return [...this.#properties.values()]
  }

  override property(path: string): MikroProperty | null {
    return this.#properties.get(path) ?? null
  }

  override build(params: Record<string, unknown>): BaseRecord {
    return new MikroRecord(params, this, Object.keys(this.#passwords))
  }

  override count(filter: Filter): Promise<number> {
    const counted = this.#counted.get(filter) ?? this.#count(filter)
    this.#counted.delete(filter)
    return counted
  }

  async #count(filter: Filter): Promise<number> {
    const { where, options } = this.#query(filter)
    return this.manager('read').count(this.meta.class, where, options)
  }

  override async find(filter: Filter, { limit, offset, sort }: FindOptions, context?: ActionContext): Promise<BaseRecord[]> {
    const { where, options } = this.#query(filter)
    const key = this.#key.name()
    const direction = sort?.direction === 'desc' ? 'desc' : 'asc'
    const by = sort?.sortBy === undefined ? undefined : this.#shown(sort.sortBy)
    const orderBy =
      by?.isSortable() === true && by !== this.#key ? [this.#nested(by, direction), { [key]: direction }] : [{ [key]: direction }]
    const page = { limit: clamp(limit, 10, MAX_ROWS) || 10, offset: clamp(offset, 0, MAX_OFFSET) }
    const found = this.manager('read').find(this.meta.class, where, { ...options, ...page, orderBy: orderBy as never })
    if (context?.action?.name === 'list') {
      // AdminJS counts when it has the page; here both are on their way at once, as with findAndCount.
      const counted = this.#count(filter)
      this.#counted.set(filter, counted)
      await Promise.allSettled([found, counted])
    }
    return (await found).map(row => this.#record(row as object))
  }

  override async findOne(id: string): Promise<BaseRecord | null> {
    const em = this.manager('read')
    const [row] = await this.rows(em, [id])
    if (row === undefined) return null
    await this.#load(em, row, false)
    return this.#record(row)
  }

  /** Deleted rows too: they are shown, named where they are referred to, and restored. */
  override async findMany(ids: readonly (string | number)[]): Promise<BaseRecord[]> {
    const rows = await this.rows(this.manager('read'), ids.map(String))
    return rows.map(row => this.#record(row))
  }

  override async create(params: Params, _context?: ActionContext): Promise<ParamsType> {
    const secrets = await hashesOf(this.#passwords, params)
    return this.write(async em => {
      const { data, problems } = this.#read(params, em)
      const members = await this.#readMembers(params, em, problems)
      Object.assign(problems, secrets.problems)
      for (const name of Object.keys(this.#passwords))
        if (!(name in secrets.data) && this.meta.properties[name]?.nullable !== true)
          problems[name] ??= { type: 'required', message: 'Required' }
      for (const property of this.properties()) {
        const isMissing = property.isRequired() && property.isEditable() && valueAt(data, this.#path(property)) == null
        if (isMissing) problems[property.path()] ??= { type: 'required', message: 'Required' }
      }
      if (Object.keys(problems).length > 0) throw atFields(problems)
      const entity = em.create(this.meta.class, { ...data, ...secrets.data } as never)
      putMembers(entity as Row, members, true)
      em.persist(entity)
      await em.flush()
      return this.#params(entity as object)
    })
  }

  override async update(id: string, params: Params, _context?: ActionContext): Promise<ParamsType> {
    // Before the row is locked: it takes its time.
    const secrets = await hashesOf(this.#passwords, params)
    return this.write(async em => {
      const [entity] = await this.rows(em, [id], true)
      if (entity === undefined) throw notice('The record is gone.')
      if (this.hasSoftDelete && entity['deletedAt'] != null) throw notice('The record is deleted. Restore it first.')
      this.#assertFresh(entity, params)
      const { data, problems } = this.#read(params, em)
      await this.#load(em, entity, true)
      const members = await this.#readMembers(params, em, problems, entity)
      Object.assign(problems, secrets.problems)
      if (Object.keys(problems).length > 0) throw atFields(problems)
      em.assign(entity, { ...data, ...secrets.data } as never, { mergeEmbeddedProperties: true })
      putMembers(entity, members, false)
      await em.flush()
      return this.#params(entity)
    })
  }

  override async delete(id: string): Promise<void> {
    await this.deleteMany([id])
  }

  /** Deletes rows in one transaction: softly, where the entity has soft delete. All of them, or none. */
  async deleteMany(ids: readonly string[]): Promise<number> {
    return this.write(async em => {
      const rows = await this.rows(em, ids, true)
      const live = rows.filter(row => !this.hasSoftDelete || row['deletedAt'] == null)
      for (const row of live) {
        em.remove(row)
        // One by one: MikroORM cannot compare the versions of several rows whose removal became an update.
        await em.flush()
      }
      return live.length
    })
  }

  /** An EntityManager of the active context, or a refusal. @throws NO_TENANT_CONTEXT, FORBIDDEN */
  manager(access: Access): EntityManager {
    return managerFor(this.meta, access)
  }

  /** Runs a write in one transaction; what it is refused for is shown to the user. */
  async write<T>(work: (em: EntityManager) => Promise<T>): Promise<T> {
    try {
      return await this.manager('write').transactional(work)
    } catch (error) {
      throw shown(error, this.meta)
    }
  }

  /** The rows of these ids, live and deleted; what cannot be an id finds nothing. */
  async rows(em: EntityManager, ids: readonly string[], locked = false): Promise<Row[]> {
    const possible = ids.filter(id => isKey(this.#key, id))
    if (possible.length === 0) return []
    const lock = locked ? { lockMode: LockMode.PESSIMISTIC_WRITE as const } : {}
    const where = { [this.#key.name()]: { $in: possible } }
    return (await em.find(this.meta.class, where as never, { filters: this.#filters('all'), ...lock })) as Row[]
  }

  #query(filter: Filter): { where: never; options: { filters: Record<string, boolean> } } {
    const where: Row = {}
    let status = 'active'
    for (const { path, value } of Object.values(filter?.filters ?? {}) as readonly { path: string; value: unknown }[]) {
      if (path === STATUS_FILTER) status = value === 'deleted' || value === 'all' ? value : 'active'
      const property = this.#shown(path)
      if (property === undefined || !property.isVisible() || property.kind === 'collection' || value === undefined || value === '') continue
      putAt(where, this.#path(property), property.condition(value))
    }
    if (this.hasSoftDelete && status === 'deleted') where['deletedAt'] = { ...(where['deletedAt'] as object | undefined), $ne: null }
    return { where: where as never, options: { filters: this.#filters(status) } }
  }

  #filters(status: string): Record<string, boolean> {
    return { [SOFT_DELETE_FILTER]: this.hasSoftDelete && status === 'active', ...this.#visibility() }
  }

  /** In the back office of the control plane every row is seen, whoever else may see it. */
  #visibility(): Record<string, boolean> {
    return this.plane === 'shared' && !isInTenant() ? { [VISIBILITY_FILTER]: false } : {}
  }

  #nested(property: MikroProperty, direction: string): Row {
    const order: Row = {}
    putAt(order, this.#path(property), direction)
    return order
  }

  #shown(path: string): MikroProperty | undefined {
    const property = this.#properties.get(path)
    return property === undefined || this.#hidden.has(nameOf(property)) ? undefined : property
  }

  #path(property: MikroProperty): readonly string[] {
    return pathOf(property.meta, this.meta)
  }

  #record(row: object): BaseRecord {
    return this.build(this.#params(row) as Record<string, unknown>)
  }

  #params(row: object): ParamsType {
    const params: Row = {}
    for (const each of this.properties()) {
      if (this.#hidden.has(nameOf(each))) continue
      const value = valueAt(row, this.#path(each))
      const shown = each.kind === 'collection' ? idsOf(value) : toForm(each.meta, value)
      if (shown !== undefined) params[each.path()] = shown
    }
    return params as ParamsType
  }

  /** Takes editable properties alone: AdminJS sends every value that it was shown, and a client may add any. */
  #read(params: Params, em: EntityManager): { data: Row; problems: FieldProblems } {
    const data: Row = {}
    const problems: FieldProblems = {}
    for (const property of this.properties()) {
      const name = property.path()
      if (property.kind === 'collection' || !property.isEditable() || !isSent(params, name)) continue
      try {
        const value = fromForm(property.meta, flat.get(params as ParamsType, name), em)
        if (value === null && property.isRequired()) problems[name] = { type: 'required', message: 'Required' }
        else if (value !== null || property.meta.nullable === true) putAt(data, this.#path(property), value)
      } catch (error) {
        if (!(error instanceof FieldError)) throw error
        problems[name] = { type: 'invalid', message: error.message }
      }
    }
    return { data, problems }
  }

  /** The members of the collections that were sent; what was not sent stays as it is. */
  async #readMembers(params: Params, em: EntityManager, problems: FieldProblems, entity?: Row): Promise<ReadonlyMap<string, object[]>> {
    const members = new Map<string, object[]>()
    for (const property of this.#collections) {
      const name = property.path()
      if (!property.isEditable() || !isSent(params, name)) continue
      try {
        const present = entity?.[name] as Collection<object> | undefined
        members.set(name, await membersFrom(property.meta, flat.get(params as ParamsType, name), em, this.#visibility(), present))
      } catch (error) {
        if (!(error instanceof FieldError)) throw error
        problems[name] = { type: 'invalid', message: error.message }
      }
    }
    return members
  }

  /** Loads the collections of a row, one query for each. */
  async #load(em: EntityManager, row: object, withDeleted: boolean): Promise<void> {
    const names = this.#collections.map(each => each.path())
    if (names.length === 0) return
    const deleted = withDeleted ? { [SOFT_DELETE_FILTER]: false } : {}
    await em.populate([row], names as never, { filters: { ...this.#visibility(), ...deleted } })
  }

  /** The row is locked, so what is compared here is what is written over. */
  #assertFresh(row: Row, params: Params): void {
    for (const name of [this.meta.versionProperty as string | undefined, 'updatedAt']) {
      const property = name === undefined ? undefined : this.meta.properties[name]
      const sent = name === undefined ? undefined : params[name]
      if (property === undefined || sent === undefined || sent === null || sent === '') continue
      const now = JSON.stringify(toForm(property, row[property.name]))
      if (now !== JSON.stringify(sent) && now.replaceAll('"', '') !== JSON.stringify(sent).replaceAll('"', '')) throw notice(STALE)
    }
  }
}

/** AdminJS passes on what the query string says: no number, a fraction, something negative. */
function clamp(given: unknown, otherwise: number, max: number): number {
  const value = Number(given)
  return Number.isSafeInteger(value) && value >= 0 ? Math.min(value, max) : otherwise
}

/** Lists come as one value, or as one for each of their places. */
function isSent(params: Params, name: string): boolean {
  return Object.keys(params).some(key => key === name || key.startsWith(`${name}.`))
}

function isKey(key: MikroProperty, id: string): boolean {
  const condition = key.condition(id)
  return typeof condition !== 'object' || key.kind === 'string' || key.kind === 'text'
}

/** The property of the entity; of a part of an embedded one, that one. */
function nameOf(property: MikroProperty): string {
  return property.path().split('.')[0]!
}
