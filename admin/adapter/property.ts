/** A property of an entity as AdminJS sees it, and the condition that a filter on it means. */
import type { EntityProperty } from '@mikro-orm/postgresql'
import { BaseProperty, type PropertyType } from 'adminjs'
import { AUDIT_FIELDS } from '../../src/audit/audit-fields.ts'
import { isArray, isReference, kindOf, type PropertyKind } from './kind.ts'
import { UUID } from './values.ts'

/** A condition that no row meets; made anew each time, for MikroORM writes into conditions. */
const never = () => ({ $in: [] })
const AUDIT: ReadonlySet<string> = new Set(AUDIT_FIELDS)
const NUMBER = /^-?\d{1,30}(?:\.\d{1,30})?$/

/** AdminJS's types: numbers with more digits than a double holds, and JSON whose keys must stay, are edited as text. */
const TYPES: Readonly<Record<PropertyKind, PropertyType>> = {
  reference: 'reference',
  collection: 'reference',
  json: 'textarea',
  enum: 'string',
  uuid: 'uuid',
  boolean: 'boolean',
  datetime: 'datetime',
  date: 'date',
  time: 'string',
  integer: 'number',
  bigint: 'string',
  decimal: 'string',
  float: 'float',
  text: 'textarea',
  string: 'string',
}

/** What a property is told beside its metadata. */
export interface PropertyFacts {
  readonly position: number
  readonly isTitle: boolean
  /** The resource that the values of an array refer to, if they are ids. */
  readonly refersTo?: string | undefined
}

export class MikroProperty extends BaseProperty {
  readonly meta: EntityProperty
  readonly kind: PropertyKind
  readonly #facts: PropertyFacts

  constructor(meta: EntityProperty, facts: PropertyFacts) {
    super({ path: meta.name, position: facts.position })
    this.meta = meta
    this.kind = kindOf(meta)
    this.#facts = facts
  }

  override isId(): boolean {
    return this.meta.primary === true
  }

  override isTitle(): boolean {
    return this.#facts.isTitle
  }

  override isArray(): boolean {
    return isArray(this.meta) && this.kind !== 'json'
  }

  override isVisible(): boolean {
    return this.meta.hidden !== true && this.meta.version !== true
  }

  override isEditable(): boolean {
    const { name, primary, version, persist, generated, formula, hidden } = this.meta
    return !(primary || version || hidden || persist === false || generated || formula || AUDIT.has(name))
  }

  override isRequired(): boolean {
    const { nullable, primary, default: value, defaultRaw, onCreate } = this.meta
    const filled = nullable || primary || value !== undefined || defaultRaw !== undefined || onCreate !== undefined
    return !filled && this.kind !== 'boolean' && this.kind !== 'collection' && !this.isArray()
  }

  override isSortable(): boolean {
    return this.kind !== 'json' && this.kind !== 'collection' && !this.isArray() && this.meta.persist !== false
  }

  // The typings of AdminJS know null as the absence of both.
  override reference(): string | null {
    return isReference(this.meta) || this.kind === 'collection' ? (this.meta.targetMeta?.className ?? null) : (this.#facts.refersTo ?? null)
  }

  override availableValues(): string[] | null {
    return this.kind === 'enum' ? (this.meta.items ?? []).map(String) : null
  }

  /**
   * AdminJS turns what a form sends into numbers and dates by this type, and makes a day in March of the 30th of February. So it is told of
   * text alone, and the values come as they were sent.
   */
  override type(): PropertyType {
    return ['reference', 'uuid'].includes(this.formType) ? this.formType : 'string'
  }

  /** How the property is shown and edited. */
  get formType(): PropertyType {
    return this.#facts.refersTo === undefined ? TYPES[this.kind] : 'reference'
  }

  /** The condition of a filter; what cannot be a value of the column meets no row, instead of an error of the database. */
  condition(value: unknown): unknown {
    if (this.kind === 'date' || this.kind === 'datetime') return this.#within(value)
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return never()
    const text = String(value)
    if (text.includes('\0')) return never()
    if (this.isArray()) return this.meta.columnTypes[0]?.startsWith('uuid') && !UUID.test(text) ? never() : { $contains: [text] }
    switch (this.kind) {
      case 'boolean':
        return text === 'true' || text === 'false' ? text === 'true' : never()
      case 'uuid':
        return UUID.test(text) ? text : never()
      case 'reference':
        return kindOf(this.meta.targetMeta!.getPrimaryProps()[0]!) === 'uuid' && !UUID.test(text) ? never() : text
      case 'enum':
        return this.availableValues()?.includes(text) ? text : never()
      case 'integer':
      case 'bigint':
        return /^-?\d{1,9}$/.test(text) || (this.kind === 'bigint' && /^-?\d{1,18}$/.test(text)) ? text : never()
      case 'decimal':
      case 'float':
        return NUMBER.test(text) ? text : never()
      case 'time':
        return /^\d{2}:\d{2}/.test(text) ? text : never()
      default:
        return { $ilike: `%${text.replace(/[\\%_]/g, '\\$&')}%` }
    }
  }

  #within(value: unknown): unknown {
    const { from, to } = (typeof value === 'object' && value !== null ? value : { from: value, to: value }) as {
      from?: unknown
      to?: unknown
    }
    const wrong = Symbol('wrong')
    const limit = (given: unknown): unknown => {
      if (given === undefined || given === '') return undefined
      const date = typeof given === 'string' ? new Date(given) : undefined
      if (typeof given !== 'string' || date === undefined || Number.isNaN(date.getTime())) return wrong
      return this.kind === 'date' ? given.slice(0, 10) : date
    }
    const [$gte, $lte] = [limit(from), limit(to)]
    if ($gte === wrong || $lte === wrong) return never()
    return { ...($gte === undefined ? {} : { $gte }), ...($lte === undefined ? {} : { $lte }) }
  }
}
