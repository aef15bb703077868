/** The words of the panel: names of entities and properties made readable, and our own sentences. */
import type { Locale } from 'adminjs'
import type { MikroResource } from './adapter/resource.ts'
import { dashboardWords } from './locale/dashboard.ts'
import { tenantWords } from './locale/tenants.ts'
import type { AdminResourceOptions } from './options.ts'

const MESSAGES = {
  invalidCredentials: 'The email, the password or the tenant is wrong.',
  tooManyAttempts: 'Too many attempts. Wait a minute, then try again.',
  forbiddenError: 'You are not allowed to do this.',
}

const ACTIONS = {
  restore: 'Restore',
  restore_selected: 'Restore',
  hard_delete: 'Delete permanently',
  hard_delete_selected: 'Delete permanently',
}

/** The locale with the entities' names, and the labels of actions by entity. */
export function localeOf(resources: readonly MikroResource[], told: ReadonlyMap<string, AdminResourceOptions>): Locale {
  const labels = Object.fromEntries(resources.map(({ meta }) => [meta.className, plural(labelOf(meta.className))]))
  const own = resources.map(({ meta }) => {
    const names = Object.fromEntries(Object.keys(meta.properties).map(name => [name, sentence(name)]))
    return [
      meta.className,
      {
        actions: { list: plural(labelOf(meta.className)), ...labelsOf(told.get(meta.className)) },
        properties: { ...names, soft_delete_status: 'Status', deleted_status: 'Status' },
      },
    ] as const
  })
  return {
    language: 'en',
    availableLanguages: ['en'],
    translations: {
      en: merged(
        {
          labels: { ...labels, navigation: '' },
          messages: { ...MESSAGES, ...dashboardWords.en },
          actions: ACTIONS,
          properties: { 'soft_delete_status.active': 'Active', 'soft_delete_status.deleted': 'Deleted', 'soft_delete_status.all': 'All' },
          resources: Object.fromEntries(own),
        },
        tenantWords.en,
      ),
    },
  } as Locale
}

interface Tree {
  readonly [key: string]: string | Tree
}

/** The first tree, with what the second one says over it. */
function merged(below: Tree, above: Tree): Tree {
  const all: Record<string, string | Tree> = { ...below }
  for (const [key, value] of Object.entries(above)) {
    const present = all[key]
    all[key] = typeof value === 'object' && typeof present === 'object' ? merged(present, value) : value
  }
  return all
}

/** The labels of an entity's own actions. */
function labelsOf(options: AdminResourceOptions | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(options?.actions ?? {}).map(([name, { label }]) => [name, label]))
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
