/** Pages and cards of the application's own: who may see them is decided here, at each request; without a permission nobody may. */
import type { CurrentAdmin } from 'adminjs'
import type { TenantRef } from '../src/context/context.ts'
import { currentContext } from '../src/context/context.ts'
import { ForbiddenError } from '../src/errors.ts'
import type { Language } from './locale/words.ts'
import { LANGUAGES } from './locale/words.ts'
import { personOf, type AdminPerson } from './person.ts'

/** Where something is seen: in the control plane's back office, in tenants', or in both. */
export type AdminPlace = 'global' | 'tenant' | 'both'

/** What the content of a page is asked with. It runs in the context of the request, where `em()` and `controlEm()` answer. */
export interface AdminPageCall {
  /** The tenant, in a tenant's back office. */
  readonly tenant: TenantRef | undefined
  readonly language: Language
  /** What the person may do. */
  readonly permissions: readonly string[]
}

/** A part of a page; its texts are shown as text, never as HTML. */
export type AdminPageBlock =
  | { readonly heading: string }
  | { readonly text: string }
  | { readonly figures: readonly { readonly label: string; readonly value: string | number }[] }
  | { readonly columns: readonly string[]; readonly rows: readonly (readonly (string | number | boolean | null)[])[] }
  | { readonly link: string; readonly href: string }

/** A page: blocks that the panel draws, or data for a component of the application's own. It reads; what changes something is an action. */
export interface AdminPage {
  /** What the navigation says. */
  readonly label: string
  /** Where it is seen. */
  readonly in: AdminPlace
  /** What it takes to see it, such as `data:read`. */
  readonly permission: string
  /** An icon of the design system. Default `FileText`. */
  readonly icon?: string
  /** A component of the application's bundle, see `bundleComponents`; it gets what `content` gives by `new ApiClient().getPage()`. Default: the panel draws blocks. */
  readonly component?: string
  /** What the page shows; JSON of any kind for a component. */
  content(call: AdminPageCall): Promise<readonly AdminPageBlock[] | object>
}

/** A figure on the first page. */
export interface AdminCard {
  readonly label: string
  readonly in: AdminPlace
  /** What it takes to see it, such as `data:read`. */
  readonly permission: string
  value(call: AdminPageCall): Promise<string | number>
}

/** A card as the first page gets it. */
export interface CardFigure {
  readonly name: string
  readonly label: string
  readonly value: string | number
}

type Guarded = Pick<AdminPage, 'in' | 'permission'>
type Handler<T> = (request: unknown, response: unknown, context: { readonly currentAdmin?: CurrentAdmin | undefined }) => Promise<T>

/** Whether a person may see it, here and now. */
export function admits(guarded: Guarded, person: AdminPerson | undefined): boolean {
  if (person === undefined || !person.permissions.includes(guarded.permission)) return false
  return guarded.in === 'both' || guarded.in === person.mode
}

/** The pages as AdminJS takes them. */
export function pagesOf(pages: Readonly<Record<string, AdminPage>>, component: string) {
  return Object.fromEntries(
    Object.entries(pages).map(([name, page]) => [
      name,
      {
        icon: page.icon ?? 'FileText',
        component: page.component ?? component,
        handler: (async (_request, _response, { currentAdmin }) => {
          const person = personOf(currentAdmin)
          if (!admits(page, person)) throw new ForbiddenError(page.permission)
          const content = await page.content(callOf(person))
          return page.component === undefined ? { blocks: content } : content
        }) satisfies Handler<object>,
      },
    ]),
  )
}

/** The handler of the first page, with the cards that the person may see. */
export function withCards<T extends object>(handler: Handler<T>, cards: Readonly<Record<string, AdminCard>>): Handler<T> {
  return async (request, response, context) => {
    const data = await handler(request, response, context)
    const person = personOf(context.currentAdmin)
    const figures: CardFigure[] = []
    // One after the other: a page must not take every connection of the pool.
    for (const [name, card] of Object.entries(cards))
      if (admits(card, person)) figures.push({ name, label: card.label, value: await card.value(callOf(person)) })
    return { ...data, cards: figures }
  }
}

/** What is wrong with pages and cards: without a place or a permission they would be for nobody, or for everybody. */
export function pageProblems(pages: Readonly<Record<string, AdminPage>>, cards: Readonly<Record<string, AdminCard>>): string[] {
  const all = [
    ...Object.entries(pages).map(each => ['pages', ...each] as const),
    ...Object.entries(cards).map(each => ['cards', ...each] as const),
  ]
  return all.flatMap(([kind, name, guarded]) => {
    const path = `admin.${kind}.${name}`
    const { in: place, permission }: { in: unknown; permission: unknown } = guarded
    return [
      ...(/^[A-Za-z][\w-]{0,62}$/.test(name) && !(name in Object.prototype)
        ? []
        : [`${path} must have a name of letters, digits, _ and -.`]),
      ...(['global', 'tenant', 'both'].includes(place as string)
        ? []
        : [`${path}.in must be global, tenant or both; it is ${String(place)}.`]),
      ...(typeof permission === 'string' && permission !== '' ? [] : [`${path}.permission must name what it takes to see it.`]),
    ]
  })
}

function callOf(person: AdminPerson | undefined): AdminPageCall {
  return { tenant: currentContext()?.tenant, language: person?.language ?? LANGUAGES[0], permissions: person?.permissions ?? [] }
}
