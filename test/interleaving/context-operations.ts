/** Contexts that nest, end early, and are used too late. */
import { setTimeout as sleep } from 'node:timers/promises'
import { controlEm, currentContext, em } from 'mikro-tenantkit'
import { Author, Book, Country, Tag, ada } from '../helpers/tenancy.ts'
import { SHARED_COUNTRIES, addTag } from './data-operations.ts'
import { Refused, Thrown, enterSecond, mine, otherPlace, type Turn } from './world.ts'

const ENDED = ['NO_TENANT_CONTEXT']
const FOREIGN = ['CROSS_TENANT_ENTITY']

/** The same client in a nested run. */
const inside = (turn: Turn, place: Turn['place']): Turn => ({ ...turn, place })

export async function nested(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  const other = otherPlace(turn)
  const outer = mine(turn)
  outer.create(Tag, { label: `${place.slug}:around a nested run` })
  await enterSecond(turn, other, async () => {
    await addTag(inside(turn, other), `nested in ${place.slug}`)
    await pause()
    field.own(
      other,
      (await em().find(Tag, {}, { limit: 5 })).map(({ label }) => label),
    )
  })
  field.check(mine(turn) === outer, `after a nested run ${place.slug} has another EntityManager`)
  await outer.flush()
  field.keep(place, { tag: 1 })
}

export async function nestedInSame(turn: Turn): Promise<void> {
  const { field, place } = turn
  const outer = mine(turn)
  await field.enter(place, async () => {
    field.check(em() !== outer, `a nested run in ${place.slug} has the EntityManager of the outer one`)
    await addTag(turn, 'nested in itself')
  })
}

/** A nested run is not part of the transaction around it. */
export async function nestedInTransaction(turn: Turn): Promise<void> {
  const { field, place } = turn
  const other = turn.next() < 0.5 ? place : otherPlace(turn, 'schema')
  const mayOpenSecond = place.isolation === 'database' && other !== place ? field.secondDatabase : field.secondConnection
  await mayOpenSecond
    .through(() =>
      mine(turn).transactional(async manager => {
        manager.create(Tag, { label: `${place.slug}:rolled back` })
        await manager.flush()
        await field.enter(other, () => addTag(inside(turn, other), 'nested in a transaction'))
        throw new Thrown()
      }),
    )
    .catch((error: unknown) => {
      if (!(error instanceof Thrown)) throw error
    })
}

/** The control plane is reached from inside a tenant, and inherits nothing of it. */
export async function nestedSystem(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  await field.world.tenancy.runAsSystem('interleaving', async () => {
    field.check(currentContext()?.tenant === undefined, `the control plane inherits ${place.slug}`)
    await pause()
    field.check((await controlEm().count(Country, {})) === SHARED_COUNTRIES, 'the control plane does not see its rows')
    await field.refuses('a tenant entity in the control plane', ENDED, () => controlEm().find(Tag, {}))
    await field.refuses('em() in the control plane', ENDED, () => em())
  })
  mine(turn)
}

export async function timers(turn: Turn): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    setTimeout(() => {
      addTag(turn, 'from a timer').then(resolve, reject)
    }, turn.next())
  })
  await new Promise<void>((resolve, reject) => {
    setImmediate(
      () =>
        void mine(turn)
          .count(Tag)
          .then(() => resolve(), reject),
    )
  })
}

/** An EntityManager, an entity and a builder outlive their run: nothing is reached through them, wherever they are used. */
export async function keptTooLong(turn: Turn): Promise<void> {
  const { field, place, next } = turn
  const other = otherPlace(turn)
  const kept = await field.enter(place, async () => {
    const author = mine(turn).create(Author, { name: `${place.slug}:kept` })
    await mine(turn).flush()
    field.keep(place, { author: 1 })
    return { manager: em(), fork: em().fork(), author, builder: { of: em().createQueryBuilder(Tag) } }
  })
  const tries = [
    ['find of a kept EntityManager', () => kept.manager.find(Tag, {})],
    ['find of a kept fork', () => kept.fork.find(Tag, {})],
    ['a kept query builder', () => kept.builder.of.getResult()],
    ['a kept collection', () => kept.author.books.init()],
    ['a flush of a kept entity', () => ((kept.author.name = `${place.slug}:changed too late`), kept.manager.flush())],
    ['SQL of a kept EntityManager', () => kept.manager.execute('select 1')],
    ['a transaction of a kept EntityManager', () => kept.manager.transactional(() => Promise.resolve())],
    ['insert of a kept EntityManager', () => kept.manager.insert(Tag, { label: `${place.slug}:too late` } as never)],
  ] as const
  const [what, use] = tries[Math.floor(next() * tries.length)]!
  const where = next()
  if (where < 0.34) await field.refuses(`${what} of ${place.slug}`, ENDED, use)
  else
    await field.enter(where < 0.67 ? place : other, () =>
      field.refuses(`${what} of ${place.slug}, in another run`, [...ENDED, ...FOREIGN], use),
    )
}

/** An entity of one tenant is carried into another. */
export async function carriedOver(turn: Turn): Promise<void> {
  const { field, place, next, pause } = turn
  const other = otherPlace(turn)
  const { slug } = place
  const isFound = next() < 0.5
  const entity = await field.enter(other, async () => {
    const author = em().create(Author, { name: `${other.slug}:carried` })
    await em().flush()
    field.keep(other, { author: 1 })
    return isFound ? em().fork().findOneOrFail(Author, { id: author.id }) : author
  })
  await field.enter(place, async () => {
    await pause()
    const manager = mine(turn).fork()
    const way = next()
    if (way < 0.3) {
      entity.name = `${slug}:stolen`
      await field.refuses(`an entity of ${other.slug} written in ${slug}`, FOREIGN, () => manager.persist(entity).flush())
    } else if (way < 0.6) {
      await field.refuses(`an entity of ${other.slug} referred to in ${slug}`, FOREIGN, () => {
        manager.create(Book, { title: `${slug}:of a foreign author`, author: entity })
        return manager.flush()
      })
    } else if (way < 0.8) {
      await field.refuses(`an entity of ${other.slug} removed in ${slug}`, [...FOREIGN, ...ENDED], () => manager.remove(entity).flush())
    } else {
      await field.refuses(`an entity of ${other.slug} inserted in ${slug}`, FOREIGN, () =>
        manager.insert(Book, { title: 'x', author: entity } as never),
      )
    }
    manager.clear()
    await addTag(turn, 'after a refusal')
  })
}

/** While one run goes on, another one uses its EntityManager. */
export async function usedElsewhere(turn: Turn): Promise<void> {
  const { field, place } = turn
  const other = otherPlace(turn)
  await field.enter(place, async () => {
    const manager = mine(turn)
    await enterSecond(turn, other, () =>
      field.refuses(`an EntityManager of ${place.slug} used in ${other.slug}`, FOREIGN, () => manager.find(Tag, {})),
    )
    const named = other.isolation === 'schema' ? other.schema : 'public'
    await field.refuses(`the schema of ${other.slug} in ${place.slug}`, FOREIGN, async () => {
      const rows = await manager.find(Tag, {}, { schema: named, limit: 3 })
      field.own(
        place,
        rows.map(({ label }) => label),
      )
    })
    await field.refuses(`withSchema of ${other.slug} in ${place.slug}`, FOREIGN, async () => {
      const rows = await manager.createQueryBuilder(Tag).withSchema(named).limit(3).getResult()
      field.own(
        place,
        rows.map(({ label }) => label),
      )
    })
    await field.refuses(`a shared entity written in ${place.slug}`, FOREIGN, () => {
      const fork = manager.fork()
      fork.create(Country, { code: 'XX' })
      return fork.flush()
    })
  })
}

/** Not awaited: its run may end before it does. Whatever becomes of it, it is all or nothing. */
export async function forgotten(turn: Turn): Promise<void> {
  const { field, place, next } = turn
  const way = next()
  const manager = mine(turn).fork()
  manager.create(Tag, { label: `${place.slug}:forgotten` })
  const late = way < 0.5 ? manager.flush() : manager.transactional(() => sleep(next() * 3))
  field.forget(late.then(() => field.keep(place, { tag: 1 })))
  if (next() < 0.5) await turn.pause()
}

/** The client hangs up: the run is aborted by its signal, or ends at once, and what it was doing goes on without it. */
export async function aborted(turn: Turn): Promise<void> {
  const { field, place, next } = turn
  const hangUp = new AbortController()
  const gone = new Promise<never>((_resolve, reject) => {
    hangUp.signal.addEventListener('abort', () => reject(new Thrown()))
  })
  gone.catch(() => undefined)
  setTimeout(() => hangUp.abort(), next() * 6)
  const way = next()
  const work = async (): Promise<void> => {
    const manager = way < 0.3 ? mine(turn).fork({ signal: hangUp.signal }) : mine(turn).fork()
    const doAll = async () => {
      const rows = await manager.find(Tag, {}, { limit: 5 })
      field.own(
        place,
        rows.map(({ label }) => label),
      )
      await manager.transactional(async inner => {
        inner.create(Tag, { label: `${place.slug}:unfinished` })
        await inner.flush()
        await turn.pause()
        await inner.execute('select pg_sleep(0.002)')
      })
      field.keep(place, { tag: 1 })
      await manager.find(Author, {}, { limit: 5 })
    }
    const running = doAll()
    field.forget(running)
    await Promise.race([running, gone])
  }
  try {
    await field.enter(place, work, way < 0.6 ? undefined : hangUp.signal)
  } catch (error) {
    if (!hangUp.signal.aborted) throw error
    throw new Thrown()
  }
}

/** Suspends or archives a tenant while others work in it, and brings it back. */
export async function outOfService(turn: Turn): Promise<void> {
  const { field, place, pause, next } = turn
  const { slug } = place
  if (field.isChanging(slug)) throw new Refused()
  const { tenancy } = field.world
  const archives = next() < 0.3
  const code = archives ? 'TENANT_ARCHIVED' : 'TENANT_SUSPENDED'
  const asSystem = (work: () => Promise<unknown>) => tenancy.runAsSystem('interleaving', work)
  field.refusing(slug, 'maybe')
  // A run that is under way when its tenant is taken out of service ends as ever.
  const [entered, released] = [signal(), signal()]
  const inFlight = tenancy.run(
    slug,
    async () => {
      entered.give()
      await released.given
      await addTag(turn, 'in flight')
    },
    { actor: ada },
  )
  await Promise.race([entered.given, inFlight])
  await asSystem(() => (archives ? tenancy.archive(slug) : tenancy.operate(slug, 'suspend')))
  field.refusing(slug, code)
  await field.refuses(`a new run in ${slug}`, [code], () => tenancy.run(slug, () => Promise.resolve()))
  released.give()
  await inFlight
  await pause()
  field.refusing(slug, 'maybe')
  await asSystem(() => tenancy.operate(slug, archives ? 'restore' : 'resume'))
  field.refusing(slug, undefined)
  await field.enter(place, () => addTag(turn, 'in service again'))
}

/** Something that one side waits for and the other gives. */
function signal(): { readonly given: Promise<void>; give(): void } {
  let give = (): void => undefined
  const given = new Promise<void>(resolve => {
    give = resolve
  })
  return { given, give }
}
