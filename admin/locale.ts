/** The words of the panel in a language: AdminJS's, our own, names of entities and properties made readable, and the application's over all. */
import type { CurrentAdmin, Locale } from 'adminjs'
import { STATUS_FILTER, type MikroResource } from './adapter/resource.ts'
import { dashboardWords } from './locale/dashboard.ts'
import { panelWords } from './locale/panel.ts'
import { tenantWords } from './locale/tenants.ts'
import { LANGUAGES, asMessages, type Language, type Tree, type Words } from './locale/words.ts'
import type { AdminResourceOptions, ResolvedAdminOptions } from './options.ts'
import { personOf } from './person.ts'
import { STATUS_BADGE } from './resources.ts'

/** The words of the parts of the panel: one line each; `asMessages()` around those that are flat sentences. */
export const WORDS: readonly Words[] = [panelWords, tenantWords, asMessages(dashboardWords)]

/** Gives the locale of a language. */
export type Locales = (language: Language) => Locale

/** The locales with the entities' names, and the labels of actions by entity. */
export function localesOf(
  resources: readonly MikroResource[],
  told: ReadonlyMap<string, AdminResourceOptions>,
  { translations, pages }: Pick<ResolvedAdminOptions, 'translations' | 'pages'>,
): Locales {
  const titles = { pages: Object.fromEntries(Object.entries(pages).map(([name, { label }]) => [name, label])) }
  const made = new Map(
    LANGUAGES.map(language => [language, localeOf(language, resources, told, merged(titles, translations[language] ?? {}))]),
  )
  return language => made.get(language)!
}

/** AdminJS asks for the locale at each page, with the person. */
export function localeFor(locales: Locales) {
  return (admin?: CurrentAdmin): Locale => locales(personOf(admin)?.language ?? LANGUAGES[0])
}

function localeOf(
  language: Language,
  resources: readonly MikroResource[],
  told: ReadonlyMap<string, AdminResourceOptions>,
  application: Tree,
): Locale {
  const words = WORDS.reduce<Tree>((all, each) => merged(all, each[language]), {})
  const names = Object.fromEntries(resources.map(({ meta }) => [meta.className, plural(labelOf(meta.className))]))
  const given = Object.fromEntries([...told].flatMap(([name, { label }]) => (label === undefined ? [] : [[name, label]])))
  const labels = [{ labels: names }, words, { labels: given }, application].reduce<Tree>(merged, {})['labels'] as Tree
  // Not among the words for all entities: their values stand beneath the same name there.
  const { Audit, Boolean: yesNo, Status } = words['components'] as Readonly<Record<'Audit' | 'Boolean' | 'Status', Tree>>
  const { title: _, ...fields } = Audit
  const group = Status['group']!
  const status = { [STATUS_FILTER]: group, [STATUS_BADGE]: group, ...fields }
  const own = Object.fromEntries(
    resources.map(resource => [
      resource.meta.className,
      {
        // AdminJS has Yes and No in its code, and looks for better words here.
        labels: Object.fromEntries(resource.properties().flatMap(({ kind, meta }) => (kind === 'boolean' ? [[meta.name, yesNo]] : []))),
        actions: { list: labels[resource.meta.className] ?? resource.meta.className },
        properties: { ...Object.fromEntries(Object.keys(resource.meta.properties).map(name => [name, sentence(name)])), ...status },
      },
    ]),
  )
  const spoken = Object.fromEntries([...told].map(([name, options]) => [name, wordsOf(options)]))
  const tree = [{ labels: names, resources: own }, words, { labels: given, resources: spoken }, application].reduce<Tree>(merged, {})
  // One language is sent, not all: the page says which.
  return { language, lng: language, fallbackLng: language, availableLanguages: [language], translations: { [language]: tree } } as Locale
}

/** What the application says of an entity, in its own language. */
function wordsOf({ actions = {}, labels = {} }: AdminResourceOptions): Tree {
  return { actions: Object.fromEntries(Object.entries(actions).map(([name, { label }]) => [name, label])), properties: { ...labels } }
}

/** The first tree, with what the second one says over it. */
export function merged(below: Tree, above: Tree): Tree {
  const all: Record<string, string | Tree> = { ...below }
  for (const [key, value] of Object.entries(above)) {
    const present = all[key]
    all[key] = typeof value === 'object' && typeof present === 'object' ? merged(present, value) : value
  }
  return all
}

/** `SharedUser` is the control plane's half of `User`. */
function labelOf(name: string): string {
  return sentence(name.replace(/^Shared(?=[A-Z])/, ''))
}

/** `pricePerMonth` as `Price per month`. */
export function sentence(name: string): string {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase()
    .trim()
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function plural(word: string): string {
  if (/(?:s|x|ch|sh)$/.test(word)) return `${word}es`
  return /[^aeiou]y$/.test(word) ? `${word.slice(0, -1)}ies` : `${word}s`
}
