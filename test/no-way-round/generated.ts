/** The tests that every classified method of a class is given, in both isolations. */
import { AsyncResource } from 'node:async_hooks'
import { inspect } from 'node:util'
import type { EntityManager } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { TenancyError, controlEm } from 'mikro-tenantkit'
import { pairs, slugs, underTest, type Slug } from './places.ts'
import { sceneOf, type Scene, type Stage } from './scene.ts'
import { sentDuring, type Sent } from '../helpers/spy.ts'
import type { DeclaredClass } from './surface.ts'
import type { Entry, Table } from './table.ts'

/** A class, its classified methods, and where a scene has an object of it. */
export interface Subject<T = any> {
  readonly name: string
  readonly classes: readonly DeclaredClass[]
  readonly table: Table<T>
  readonly target: (scene: Scene) => T
  /** The same object of the control plane, where it knows entities. */
  readonly control?: (manager: EntityManager) => T
}

interface Outcome {
  readonly sent: readonly Sent[]
  readonly code?: string
  readonly error?: unknown
  readonly value?: unknown
}

/** Bound where no context is. */
const nowhere = AsyncResource.bind((work: () => Promise<Outcome>) => work())

/** A table without its schema is found nowhere, and neither is a function (undefined_function). */
const NOT_FOUND = ['NO_TENANT_CONTEXT', '42883']

/** Of the control plane these reach no entity, or open a transaction before they do. */
const WITHOUT_ENTITY = new Set(['getConnection', 'transactional'])

async function outcomeOf(work: () => unknown): Promise<Outcome> {
  let result: Omit<Outcome, 'sent'> = {}
  const sent = await sentDuring(async () => {
    try {
      result = { value: await work() }
    } catch (error) {
      result = { error, code: (error as { code?: string }).code ?? 'no code' }
    }
  })
  return { ...result, sent }
}

const textOf = (outcome: Outcome) => (outcome.error === undefined ? 'nothing was refused' : `${outcome.code}: ${String(outcome.error)}`)
const sqlOf = (outcome: Outcome) => outcome.sent.map(({ text }) => text).join('\n')

function assertRefused(outcome: Outcome, codes: readonly string[] | undefined): void {
  assert.isDefined(outcome.error, `nothing was refused; sent: ${sqlOf(outcome)}`)
  if (codes !== undefined) assert.include(codes, outcome.code, textOf(outcome))
  assert.equal(sqlOf(outcome), '', `refused after SQL with ${textOf(outcome)}`)
}

const codesFor = (entry: Entry<never>, codes: readonly string[]) => (entry.kind === 'refused' ? undefined : codes)

function assertNoMarksBut(slug: Slug, text: string, what: string): void {
  const strangers = [...text.matchAll(/row of (a trap|\w+)/g)].map(match => match[1]).filter(whose => whose !== slug)
  assert.isEmpty(strangers, `${what}: ${text.slice(0, 2000)}`)
}

const shown = (value: unknown) => inspect(value, { depth: 5, maxArrayLength: 20, breakLength: Infinity })

/** Defines the tests of one class. */
export function testsOf(subject: Subject, stage: () => Stage): void {
  describe(`every method of ${subject.name}`, () => {
    for (const [method, entry] of Object.entries(subject.table)) {
      for (const [isolation, slug] of Object.entries(underTest)) {
        it(`${method} (${entry.kind}) without a tenant, by ${isolation}`, () => withoutTenant(subject, entry, slug, stage()))
        it(`${method} (${entry.kind}) in its tenant, by ${isolation}`, () => inItsTenant(subject, entry, slug, stage()))
      }
      for (const [own, other] of pairs) {
        it(`${method} (${entry.kind}) of ${other} in ${own}`, () => onForeign(subject, entry, own, other, stage()))
        it(`${method} (${entry.kind}) of ${own} with what belongs to ${other}`, () => withForeign(subject, entry, own, other, stage()))
      }
      if (subject.control !== undefined && ['reads', 'writes'].includes(entry.kind) && !WITHOUT_ENTITY.has(method)) {
        it(`${method} (${entry.kind}) through the control plane`, () => throughControlPlane(subject, entry, stage()))
      }
    }
  })
}

async function withoutTenant(subject: Subject, entry: Entry<any>, slug: Slug, stage: Stage): Promise<void> {
  const keep = () => {
    const scene = sceneOf(slug)
    const target = subject.target(scene)
    return () => outcomeOf(() => entry.call(target, scene))
  }
  const ended = await stage.run(slug, async () => ({ call: keep() }))
  const another = await stage.run(slug, async () => ({ call: keep() }))
  const outcomes = [
    await ended.call(),
    await stage.run(slug, another.call),
    // The run goes on, and its context is lost.
    await stage.run(slug, async () => nowhere(keep())),
  ]
  for (const outcome of outcomes) {
    if (entry.kind === 'pure') assert.equal(sqlOf(outcome), '')
    else assertRefused(outcome, codesFor(entry, ['NO_TENANT_CONTEXT']))
  }
}

async function inItsTenant(subject: Subject, entry: Entry<any>, slug: Slug, stage: Stage): Promise<void> {
  const { places } = stage
  await stage.run(slug, async () => {
    const scene = sceneOf(slug)
    const target = subject.target(scene)
    const outcome = await outcomeOf(() => entry.call(target, scene))
    try {
      if (entry.kind === 'pure') assert.equal(sqlOf(outcome), '')
      else if (entry.kind === 'refused') assertRefused(outcome, undefined)
      else if (entry.kind === 'raw') assert.include(NOT_FOUND, outcome.code, textOf(outcome))
      else assert.isUndefined(outcome.error, textOf(outcome))
      if (['reads', 'writes', 'transaction'].includes(entry.kind)) assert.isNotEmpty(outcome.sent)
      if (entry.kind === 'reads' || entry.kind === 'writes') assertNoMarksBut(slug, shown(outcome.value), 'answered')
      assertSentTo(slug, outcome, stage)
      if (onlyReads(outcome)) assert.notEqual(entry.kind, 'writes', 'it wrote nothing')
      else {
        assert.isEmpty(await places.changes(slug))
        const text = (await places.snapshot()).get(slug)!
        assert.equal(text !== places.seeded(slug), entry.kind === 'writes', `whether its own rows changed: ${text}`)
        assertNoMarksBut(slug, text, 'written')
      }
    } finally {
      if (!onlyReads(outcome)) await places.reset()
    }
  })
}

async function onForeign(subject: Subject, entry: Entry<any>, own: Slug, other: Slug, stage: Stage): Promise<void> {
  await stage.run(other, async () => {
    const theirs = sceneOf(other)
    const target = subject.target(theirs)
    const outcome = await stage.run(own, () => outcomeOf(() => entry.call(target, theirs)))
    if (entry.kind === 'pure') assert.equal(sqlOf(outcome), '')
    else assertRefused(outcome, codesFor(entry, ['CROSS_TENANT_ENTITY']))
  })
}

/** The object is the tenant's own, and what it is given is the other's. */
async function withForeign(subject: Subject, entry: Entry<any>, own: Slug, other: Slug, stage: Stage): Promise<void> {
  const { places } = stage
  const outcomes: Outcome[] = []
  const outcome = async (work: () => unknown) => {
    const done = await outcomeOf(work)
    outcomes.push(done)
    return done
  }
  try {
    await stage.run(other, async () => {
      const theirs = sceneOf(other)
      await stage.run(own, async () => {
        const ours = sceneOf(own)
        const called = await outcome(() => entry.call(subject.target(ours), theirs))
        assertSentTo(own, called, stage)
        if (entry.kind !== 'pure') assertNoMarksBut(own, shown(called.value), 'answered')
        assertSentTo(own, await outcome(() => ours.em.flush()), stage)
        for (const { error, code } of outcomes) {
          if (error instanceof TenancyError && entry.kind !== 'raw' && entry.kind !== 'refused')
            assert.include(['CROSS_TENANT_ENTITY', 'NO_TENANT_CONTEXT'], code, String(error))
        }
      })
      if (!outcomes.every(onlyReads)) {
        assert.isEmpty(await places.changes(own))
        assertNoMarksBut(own, (await places.snapshot()).get(own)!, 'written')
      }
      // What a pure method puts together in memory is what it was told to; no flush writes it.
      if (entry.kind !== 'pure')
        assertNoMarksBut(other, shown([theirs.author, theirs.book, theirs.tag]), 'put into what belongs to the other')
      await outcome(() => theirs.em.flush())
    })
    if (!outcomes.every(onlyReads)) assertNoMarksBut(other, (await places.snapshot()).get(other)!, 'written by the other')
  } finally {
    if (!outcomes.every(onlyReads)) await places.reset()
  }
}

async function throughControlPlane(subject: Subject, entry: Entry<any>, stage: Stage): Promise<void> {
  const scene = await stage.run('acme', async () => sceneOf('acme'))
  await stage.kit.asSystem(async () => {
    const outcome = await outcomeOf(() => {
      const manager = controlEm()
      return entry.call(subject.control!(manager), { ...scene, em: manager })
    })
    // A change of an entity that this EntityManager does not manage is nothing to flush.
    if (entry.kind === 'writes' && outcome.error === undefined) assert.equal(sqlOf(outcome), '')
    else assertRefused(outcome, ['NO_TENANT_CONTEXT', 'CROSS_TENANT_ENTITY'])
  })
}

/** Reading statements change nothing: then the tables need not be looked at. */
const onlyReads = ({ sent }: Outcome) =>
  sent.every(({ text }) => /^(select|begin|start transaction|commit|rollback|savepoint)\b/i.test(text))

/** Every statement went to the tenant's own database and named no other's tables. */
function assertSentTo(slug: Slug, outcome: Outcome, { places }: Stage): void {
  const schema = places.schemaOf(slug)
  const foreign = ['__no_tenant__', ...slugs.map(other => places.schemaOf(other)).filter(name => name !== schema)]
  for (const { database, text } of outcome.sent) {
    // The directory asks for tenants that are running, whenever it has begun to listen.
    if (/from "public"\."tenantkit_tenant" as "t0" where \(\("t0"\."slug" in/.test(text)) continue
    assert.equal(database, places.databaseOf(slug), text)
    for (const name of foreign) assert.notInclude(text, `"${name}"`)
    assert.notMatch(text, /"public"\."(author|book|tag|book_tags|summary)"/)
  }
}
