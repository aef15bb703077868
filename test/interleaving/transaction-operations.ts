/** Transactions that end in every way: committed, rolled back, half of it, begun by hand, and left open. */
import { Tag } from '../helpers/tenancy.ts'
import { addTag } from './data-operations.ts'
import { answerOf } from './answers.ts'
import { Thrown, mine, type Turn } from './world.ts'

const tag = (turn: Turn, label: string): Promise<void> => {
  mine(turn).create(Tag, { label: `${turn.place.slug}:${label}` })
  return mine(turn).flush()
}

/** What is thrown on purpose ends here. */
async function thrown(work: () => Promise<unknown>): Promise<void> {
  await work().catch((error: unknown) => {
    if (!(error instanceof Thrown)) throw error
  })
}

export async function commit(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  await mine(turn).transactional(async manager => {
    manager.create(Tag, { label: `${place.slug}:in a transaction` })
    await manager.flush()
    await pause()
    field.own(
      place,
      (await manager.find(Tag, {}, { limit: 5 })).map(({ label }) => label),
    )
  })
  field.keep(place, { tag: 1 })
}

export async function rollback(turn: Turn): Promise<void> {
  await thrown(() =>
    mine(turn).transactional(async () => {
      await tag(turn, 'rolled back')
      await turn.pause()
      throw new Thrown()
    }),
  )
}

export async function savepoints(turn: Turn): Promise<void> {
  const { field, place, pause, next } = turn
  const outerFails = next() < 0.3
  await thrown(() =>
    mine(turn).transactional(async () => {
      await tag(turn, outerFails ? 'rolled back' : 'around a savepoint')
      await thrown(() =>
        mine(turn).transactional(async () => {
          await tag(turn, 'rolled back')
          await pause()
          throw new Thrown()
        }),
      )
      await mine(turn).transactional(() => tag(turn, outerFails ? 'rolled back' : 'in a savepoint'))
      if (outerFails) throw new Thrown()
    }),
  )
  if (!outerFails) field.keep(place, { tag: 2 })
}

export async function byHand(turn: Turn): Promise<void> {
  const { field, place, pause, next } = turn
  const manager = mine(turn).fork()
  await manager.begin()
  try {
    const commits = next() < 0.5
    manager.create(Tag, { label: `${place.slug}:${commits ? 'by hand' : 'rolled back'}` })
    await manager.flush()
    await pause()
    if (!commits) throw new Thrown()
    await manager.commit()
    field.keep(place, { tag: 1 })
  } catch (error) {
    await manager.rollback()
    if (!(error instanceof Thrown)) throw error
  }
}

/** Begun by hand and forgotten: the end of the run rolls it back. */
export async function leftOpen(turn: Turn): Promise<void> {
  const manager = mine(turn).fork()
  await manager.begin()
  manager.create(Tag, { label: `${turn.place.slug}:rolled back` })
  await manager.flush()
}

export async function throws(turn: Turn): Promise<void> {
  mine(turn).create(Tag, { label: `${turn.place.slug}:never flushed` })
  await turn.pause()
  throw new Thrown()
}

/** PostgreSQL refuses a statement inside a transaction; the connection must be clean for the next one. */
export async function failingSql(turn: Turn): Promise<void> {
  const { field, place } = turn
  const answer = await answerOf(() =>
    mine(turn).transactional(async manager => {
      manager.create(Tag, { label: `${place.slug}:rolled back` })
      await manager.flush()
      await manager.execute('select 1 / 0')
    }),
  )
  field.check(answer === '22012', `a division by zero in ${place.slug} was answered with ${answer}`)
  await addTag(turn, 'after an error')
}
