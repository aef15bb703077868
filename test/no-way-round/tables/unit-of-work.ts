/** Every public method of the unit of work. */
import type { UnitOfWork } from '@mikro-orm/postgresql'
import { LockMode } from '@mikro-orm/postgresql'
import { Author } from '../entities.ts'
import { pure, transaction, writes, type Table } from '../table.ts'

export const classes = [{ file: 'core/unit-of-work/UnitOfWork.d.ts', name: 'UnitOfWork' }] as const

const MEMORY = 'It looks at what is in memory.'
const UNFLUSHED = 'It changes memory; the flush that would write it is guarded.'

export const unitOfWork: Table<UnitOfWork> = {
  cancelOrphanRemoval: pure(UNFLUSHED, (uow, { author }) => uow.cancelOrphanRemoval(author)),
  clear: pure(UNFLUSHED, uow => uow.clear()),
  clearActionsQueue: pure(UNFLUSHED, uow => uow.clearActionsQueue()),
  commit: writes((uow, { author }) => {
    uow.persist(author)
    author.mark = 'new'
    return uow.commit()
  }),
  computeChangeSet: pure(MEMORY, (uow, { author }) => uow.computeChangeSet(author)),
  computeChangeSets: pure(MEMORY, uow => uow.computeChangeSets()),
  dispatchOnLoadEvent: pure('It calls listeners.', uow => uow.dispatchOnLoadEvent()),
  getById: pure(MEMORY, uow => uow.getById(Author, 1 as never)),
  getByKey: pure(MEMORY, uow => uow.getByKey(Author, 'mark', 'x')),
  getChangeSetPersister: pure('It answers what a flush writes with; the driver below it is the same.', uow => uow.getChangeSetPersister()),
  getChangeSets: pure(MEMORY, uow => uow.getChangeSets()),
  getCollectionUpdates: pure(MEMORY, uow => uow.getCollectionUpdates()),
  getExtraUpdates: pure(MEMORY, uow => uow.getExtraUpdates()),
  getIdentityMap: pure(MEMORY, uow => uow.getIdentityMap()),
  getOriginalEntityData: pure(MEMORY, (uow, { author }) => uow.getOriginalEntityData(author)),
  getOrphanRemoveStack: pure(MEMORY, uow => uow.getOrphanRemoveStack()),
  getPersistStack: pure(MEMORY, uow => uow.getPersistStack()),
  getRemoveStack: pure(MEMORY, uow => uow.getRemoveStack()),
  lock: transaction((uow, { author, em }) =>
    em.transactional(inner => inner.getUnitOfWork().lock(author, { lockMode: LockMode.PESSIMISTIC_READ })),
  ),
  merge: pure(UNFLUSHED, (uow, { author }) => uow.merge(author)),
  normalizeEntityData: pure(MEMORY, (uow, { em }) => uow.normalizeEntityData(em.getMetadata(Author) as never, { id: 1 } as never)),
  persist: writes((uow, { author, em }) => {
    author.mark = 'new'
    uow.persist(author)
    return em.flush()
  }),
  recomputeSingleChangeSet: pure(MEMORY, (uow, { author }) => uow.recomputeSingleChangeSet(author)),
  register: pure(UNFLUSHED, (uow, { author }) => uow.register(author)),
  remove: writes((uow, { tag, em }) => {
    uow.remove(tag)
    return em.flush()
  }),
  scheduleExtraUpdate: pure(UNFLUSHED, (uow, { author, em }) =>
    uow.scheduleExtraUpdate({ entity: author, payload: {}, meta: em.getMetadata(Author) } as never, []),
  ),
  scheduleOrphanRemoval: pure(UNFLUSHED, (uow, { tag }) => uow.scheduleOrphanRemoval(tag)),
  shouldAutoFlush: pure(MEMORY, (uow, { em }) => uow.shouldAutoFlush(em.getMetadata(Author) as never)),
  storeByKey: pure(UNFLUSHED, (uow, { author }) => uow.storeByKey(author, 'mark', 'x')),
  tryGetById: pure(MEMORY, uow => uow.tryGetById(Author, { id: 1 } as never)),
  unmarkAsLoaded: pure(MEMORY, (uow, { author }) => uow.unmarkAsLoaded(author)),
  unsetIdentity: pure(UNFLUSHED, (uow, { author }) => uow.unsetIdentity(author)),
}
