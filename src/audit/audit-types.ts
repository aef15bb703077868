/**
 * The types of the audit fields' columns. They say what MikroORM need not do with values that are never changed in place: it copies each
 * value, text too, whenever it looks at an entity, and three times in the life of one that is made and changed.
 */
import { DateTimeType, StringType } from '@mikro-orm/postgresql'

/** A point in time, which is replaced by another one and never set to another time. */
export class AuditInstant extends DateTimeType {
  /** Compared with `!==`, and not copied; the two that are compared are one object until one is replaced. */
  override compareAsType(): string {
    return 'string'
  }

  override get runtimeType(): string {
    return 'Date'
  }

  /** What was read and what the entity has must be one object. */
  override ensureComparable(): boolean {
    return true
  }
}

/** A key of an actor. That the type is not MikroORM's own is all that it takes: a text of that one is copied like an object. */
export class AuditActor extends StringType {}
