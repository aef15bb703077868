/** `em.remove` becomes an update: the row stays, with who deleted it and when. */
import { ChangeSetType, type EventSubscriber, type FlushEventArgs } from '@mikro-orm/postgresql'
import { actorKey } from '../context/context.ts'

interface SoftDeletable {
  deletedAt?: Date | null
  deletedBy?: string | null
  updatedAt?: Date
  updatedBy?: string
}

/** Turns the delete change sets of a flush into updates, for every entity that has `deletedAt`. */
export class SoftDeleteSubscriber implements EventSubscriber {
  readonly #softened = new WeakSet<object>()

  onFlush({ uow }: FlushEventArgs): Promise<void> {
    for (const changeSet of uow.getChangeSets()) {
      const isDelete = changeSet.type === ChangeSetType.DELETE || changeSet.type === ChangeSetType.DELETE_EARLY
      if (!isDelete || !('deletedAt' in changeSet.meta.properties)) continue
      const now = new Date()
      const actor = actorKey()
      const change: SoftDeletable = { deletedAt: now, deletedBy: actor, updatedAt: now, updatedBy: actor }
      Object.assign(changeSet.entity, change)
      changeSet.type = ChangeSetType.UPDATE
      changeSet.payload = change
      this.#softened.add(changeSet)
      ;(uow.getRemoveStack() as Set<object>).delete(changeSet.entity)
    }
    return Promise.resolve()
  }

  /** As after a real delete: a later `findOne` asks the database, where the filter hides the row. */
  afterFlush({ uow }: FlushEventArgs): Promise<void> {
    for (const changeSet of uow.getChangeSets()) if (this.#softened.has(changeSet)) uow.unsetIdentity(changeSet.entity)
    return Promise.resolve()
  }
}
