/** What an application does all day in one tenant: reading, writing, and its own SQL. */
import { newId } from 'mikro-tenantkit'
import { Author, Book, Country, Notice, Person, Tag } from '../helpers/tenancy.ts'
import { mine, type Turn } from './world.ts'

/** What the ORM fills in a flush and not in a native insert. */
export const stamps = () => ({ createdAt: new Date(), createdBy: 'test', updatedAt: new Date(), updatedBy: 'test' })

const FEW = 10
const labels = (rows: readonly { label: string }[]) => rows.map(({ label }) => label)

/** Adds a tag, which stands in the tenant from then on. */
export async function addTag(turn: Turn, label: string): Promise<void> {
  const { field, place } = turn
  const manager = mine(turn).fork()
  manager.create(Tag, { label: `${place.slug}:${label}` })
  await manager.flush()
  field.keep(place, { tag: 1 })
}

export async function insert(turn: Turn): Promise<void> {
  await addTag(turn, 'inserted')
}

export async function find(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  field.own(place, labels(await mine(turn).find(Tag, {}, { limit: FEW })))
  await pause()
  field.own(
    place,
    (await mine(turn).find(Author, {}, { limit: FEW })).map(({ name }) => name),
  )
}

export async function populate(turn: Turn): Promise<void> {
  const { field, place } = turn
  const strategy = turn.next() < 0.5 ? ('joined' as const) : ('select-in' as const)
  const books = await mine(turn).find(Book, {}, { limit: 5, populate: ['author', 'tags'], strategy })
  field.own(
    place,
    books.flatMap(book => [book.title, ...(book.author ? [book.author.name] : []), ...book.tags.getItems().map(({ label }) => label)]),
  )
}

export async function update(turn: Turn): Promise<void> {
  const { field, place, pause, next } = turn
  const [tag] = await mine(turn).find(Tag, {}, { limit: 1, offset: Math.floor(next() * FEW) })
  await pause()
  if (tag === undefined) return
  field.own(place, [tag.label])
  tag.label = `${place.slug}:updated ${next()}`
  await mine(turn).flush()
}

/** A soft delete: the row stays, and is found no more. */
export async function remove(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  const manager = mine(turn)
  const tag = manager.create(Tag, { label: `${place.slug}:removed` })
  await manager.flush()
  field.keep(place, { tag: 1 })
  await pause()
  await manager.remove(tag).flush()
  field.check((await manager.fork().count(Tag, { id: tag.id })) === 0, `a removed row is found in ${place.slug}`)
}

export async function related(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  const { slug } = place
  const manager = mine(turn)
  const author = manager.create(Author, { name: `${slug}:author` })
  const book = manager.create(Book, { title: `${slug}:book`, author })
  book.tags.add(manager.create(Tag, { label: `${slug}:related` }), manager.create(Tag, { label: `${slug}:related too` }))
  await pause()
  await manager.flush()
  field.keep(place, { author: 1, book: 1, tag: 2, book_tags: 2 })
  const found = await manager.fork().findOneOrFail(Book, { id: book.id }, { populate: ['author', 'tags'] })
  field.own(place, [found.author!.name, ...labels(await found.tags.matching({})), ...labels(found.tags.getItems())])
  field.check(found.tags.length === 2, `a book of ${slug} has ${found.tags.length} of its 2 tags`)
  book.tags.remove(book.tags.getItems()[0]!)
  await manager.flush()
  field.keep(place, { book_tags: -1 })
  field.check((await author.books.loadCount()) === 1, `an author of ${slug} has not its one book`)
}

export async function builder(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  const rows = await mine(turn).createQueryBuilder(Tag).select(['id', 'label']).limit(FEW).getResult()
  field.own(place, labels(rows))
  await pause()
  const books = await mine(turn).createQueryBuilder(Book, 'b').leftJoinAndSelect('b.author', 'a').limit(FEW).getResult()
  field.own(
    place,
    books.flatMap(({ title, author }) => (author ? [title, author.name] : [title])),
  )
}

export async function count(turn: Turn): Promise<void> {
  const { field, place } = turn
  const atMost = () => field.kept.get(place.slug)!.person
  const before = atMost()
  const [people, all] = await mine(turn).findAndCount(Person.tenant, {}, { limit: FEW })
  field.own(
    place,
    people.map(({ email }) => email),
  )
  // Others add meanwhile, and nobody removes: what was certain before is there, and nothing is there that nobody added.
  field.check(all >= before, `${place.slug} has ${all} people, and ${before} were there before`)
}

export async function addPerson(turn: Turn): Promise<void> {
  const { field, place } = turn
  mine(turn).create(Person.tenant, { email: `${place.slug}:${newId()}@example.test` })
  await mine(turn).flush()
  field.keep(place, { person: 1 })
}

export async function stream(turn: Turn): Promise<void> {
  const { field, place, pause, next } = turn
  const stopsAt = Math.floor(next() * FEW)
  let read = 0
  for await (const tag of mine(turn).stream(Tag, { limit: FEW })) {
    field.own(place, [tag.label])
    if (read++ === stopsAt) break
    if (read === 2) await pause()
  }
}

export async function cursor(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  const first = await mine(turn).findByCursor(Tag, { first: 3, orderBy: { id: 'asc' } })
  await pause()
  const second = await mine(turn).findByCursor(Tag, { first: 3, after: first, orderBy: { id: 'asc' } })
  field.own(place, labels([...first.items, ...second.items]))
}

export async function native(turn: Turn): Promise<void> {
  const { field, place, pause, next } = turn
  const manager = mine(turn)
  const tags = [1, 2, 3].map(() => ({ id: newId(), label: `${place.slug}:native`, ...stamps() }))
  await manager.insertMany(Tag, tags)
  field.keep(place, { tag: 3 })
  await pause()
  const changed = await manager.nativeUpdate(Tag, { id: tags[0]!.id }, { label: `${place.slug}:native ${next()}` })
  // The row stays, deleted.
  const deleted = await manager.nativeDelete(Tag, { id: tags[1]!.id })
  field.check(changed === 1 && deleted === 1, `${place.slug} changed ${changed} and deleted ${deleted} of its own rows`)
  await manager.upsert(Tag, { ...tags[2]!, label: `${place.slug}:upserted` })
}

/** SQL of the application's own, which names the tenant's schema. */
export async function rawSql(turn: Turn): Promise<void> {
  const { field, place } = turn
  const manager = mine(turn)
  field.own(place, labels(await manager.execute(`select label from "${place.schema}".tag limit ${FEW}`)))
  const kysely = manager.getKysely() as unknown as {
    withSchema(schema: string): {
      selectFrom(table: string): {
        select(column: string): { limit(limit: number): { execute(): Promise<{ label: string }[]> } }
      }
    }
  }
  field.own(place, labels(await kysely.withSchema(place.schema).selectFrom('tag').select('label').limit(FEW).execute()))
}

/** Shared rows: all of some, of others only those that this tenant may see. */
export async function shared(turn: Turn): Promise<void> {
  const { field, place } = turn
  const manager = mine(turn)
  field.check((await manager.count(Country, {})) === SHARED_COUNTRIES, `${place.slug} does not see the shared rows`)
  const texts = (await manager.find(Notice, {})).map(({ text }) => text)
  const built = (await manager.createQueryBuilder(Notice).getResult()).map(({ text }) => text)
  const own = texts.filter(text => text !== FOR_ALL)
  field.own(place, own)
  field.own(
    place,
    built.filter(text => text !== FOR_ALL),
  )
  field.check(texts.includes(FOR_ALL) && built.length === texts.length, `${place.slug} sees ${texts.join()}, and ${built.join()}`)
}

/** What {@link shared} finds; the world is made with them. */
export const SHARED_COUNTRIES = 3
export const FOR_ALL = 'for all'

/** One key for every tenant, as an application would write it. */
export async function cached(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  const options = { limit: 5, cache: ['tags', 50] as [string, number] }
  field.own(place, labels(await mine(turn).fork().find(Tag, {}, options)))
  await pause()
  field.own(place, labels(await mine(turn).fork().find(Tag, {}, options)))
  if (turn.next() < 0.3) await mine(turn).clearCache('tags')
}

export async function parallel(turn: Turn): Promise<void> {
  const { field, place } = turn
  const reads = [1, 2, 3].map(async () => {
    field.own(place, labels(await mine(turn).fork().find(Tag, {}, { limit: 3 })))
    await turn.pause()
  })
  await Promise.all([...reads, addTag(turn, 'beside reads')])
}

export async function clearAndFork(turn: Turn): Promise<void> {
  const { field, place, pause } = turn
  const manager = mine(turn)
  manager.create(Tag, { label: `${place.slug}:never flushed` })
  await pause()
  manager.clear()
  await manager.flush()
  const fork = manager.fork({ clear: true }).fork()
  field.own(place, labels(await fork.find(Tag, {}, { limit: 3 })))
  await addTag(turn, 'by a fork')
}
