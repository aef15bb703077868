/** AdminJS itself, set up once: loaded when the panel is first used, since its import alone takes 190 MB. */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import { AdminJS, type AdminJSOptions, type ResourceWithOptions } from 'adminjs'
import type { Middleware } from 'koa'
import { CONTROL_ONLY, hasTable, marksOf, planeOf } from '../src/classification/scope.ts'
import { controlEm, currentContext } from '../src/context/context.ts'
import { ConfigurationError } from '../src/errors.ts'
import type { Tenancy } from '../src/tenancy.ts'
import { isReference } from './adapter/kind.ts'
import { MikroResource } from './adapter/resource.ts'
import { ActorNames } from './audit-section.ts'
import { routesOf } from './binding.ts'
import { ADDED, type ComponentNames } from './component-names.ts'
import { dashboardOf } from './dashboard.ts'
import { localeFor, localesOf } from './locale.ts'
import type { Language } from './locale/words.ts'
import type { AdminResourceOptions, ResolvedAdminOptions } from './options.ts'
import { BASE, LOG_IN, LOG_OUT, tenantPath } from './paths.ts'
import { admits, pagesOf, withCards } from './pages.ts'
import type { AdminPerson } from './person.ts'
import { REGISTRY_RESOURCES, registryRules } from './registry.ts'
import { resourceOf } from './resources.ts'

/** The control plane's back office, or a tenant's. */
export type Mode = 'global' | 'tenant'

/** What serves the pages. */
export interface AdminSite {
  /** The routes of AdminJS over the resources of a mode. */
  readonly routes: Readonly<Record<Mode, Middleware>>
  /** Whether a mode has the action of a resource; the action itself asks who may run it. */
  has(mode: Mode, resource: string, action: string | undefined): boolean
  /** Whether a person may see a page of the application's own. */
  mayVisit(page: string, person: AdminPerson): boolean
  /** The page of the log-in, unsafe until `sendPage` made it safe. */
  logInPage(language: Language): Promise<string>
}

/** @throws CONFIGURATION_INVALID for entities that cannot be shown, and for options that name none */
export async function buildSite(tenancy: Tenancy, options: ResolvedAdminOptions): Promise<AdminSite> {
  const components = Object.fromEntries(ADDED.map(name => [name, name])) as ComponentNames
  const names = new ActorNames(tenancy, options.accounts)
  const registry = registryRules(tenancy, components)
  const entities = await mikroResources(tenancy, options)
  const told = new Map(entities.map(({ meta: { className } }) => [className, toldOf(className, options)]))
  const resources = entities.map(each => resourceOf(each, told.get(each.meta.className) ?? {}, { components, names, registry, tenancy }))
  const locales = localesOf(entities, told, options)
  const admin = new AdminJS({
    ...adminOptions(options, resources),
    dashboard: { component: components.Dashboard, handler: withCards(dashboardOf(tenancy, entities) as never, options.cards) },
    pages: pagesOf(options.pages, components.OwnPage),
    locale: localeFor(locales),
  })
  // AdminJS reads it at every link it makes. Which tenant is meant is the business of the request.
  Object.defineProperty(admin.options, 'rootPath', { enumerable: true, get: rootPath })
  const modes = { global: ofMode(admin, 'global'), tenant: ofMode(admin, 'tenant') }
  return Object.freeze({
    routes: { global: routesOf(modes.global), tenant: routesOf(modes.tenant) },
    has: (mode: Mode, resource: string, action: string | undefined): boolean => {
      const found = modes[mode].resources.find(each => each.id() === resource)
      return found !== undefined && (action === undefined || Object.hasOwn(found.decorate().actions, action))
    },
    mayVisit: (page: string, person: AdminPerson): boolean => Object.hasOwn(options.pages, page) && admits(options.pages[page]!, person),
    logInPage: (language: Language) => {
      const spoken = Object.create(admin.options, { locale: { value: locales(language) } }) as AdminJSOptions
      return (Object.create(admin, { options: { value: spoken } }) as AdminJS).renderLogin({ action: LOG_IN } as never)
    },
  })
}

/** What an entity is told: what the application says, beside what the framework knows of its own. */
function toldOf(name: string, { resources }: ResolvedAdminOptions): AdminResourceOptions {
  const own = resources[name] || {}
  const base = REGISTRY_RESOURCES.get(name) ?? {}
  // What the framework fences of its own entities, no application opens.
  const both = (key: 'hide' | 'readOnly'): readonly string[] => [...(base[key] ?? []), ...(own[key] ?? [])]
  return { ...base, ...own, hide: both('hide'), readOnly: both('readOnly'), actions: { ...base.actions, ...own.actions } }
}

function adminOptions({ title }: ResolvedAdminOptions, resources: readonly ResourceWithOptions[]): AdminJSOptions {
  return {
    rootPath: BASE,
    loginPath: LOG_IN,
    logoutPath: LOG_OUT,
    resources: [...resources],
    branding: {
      companyName: title,
      logo: false,
      withMadeWithLove: false,
      favicon: `${BASE}/frontend/assets/logo-mini.svg`,
      // No font of other hosts; with `system-ui` first, some machines choose a hairline weight.
      theme: {
        font: "'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif",
        // AdminJS's greys are too pale to be read, as text and beneath it.
        colors: { grey60: '#5f6172', grey40: '#67707b' },
      } as never,
    },
    settings: { defaultPerPage: 20 },
  }
}

function rootPath(): string {
  const tenant = currentContext()?.tenant
  return tenant === undefined ? BASE : tenantPath(tenant.slug)
}

/** What the framework records itself: nobody edits it, and a list of its rows says little. */
const RECORDS: ReadonlySet<string> = new Set([
  'AuditEvent',
  'SharedAuditEvent',
  'MigrationRun',
  'MigrationRunTenant',
  'TenantUsage',
  'TenantOperation',
])

async function mikroResources(tenancy: Tenancy, options: ResolvedAdminOptions): Promise<readonly MikroResource[]> {
  const { resources } = options
  const metadata = await tenancy.runAsSystem('admin', async () => [...controlEm().getMetadata().getAll().values()])
  const shown = metadata.filter(meta => hasTable(meta) && meta.pivotTable !== true && !RECORDS.has(meta.className))
  const unknown = Object.keys(resources).filter(name => !shown.some(meta => meta.className === name))
  if (unknown.length > 0)
    throw new ConfigurationError([`admin.resources names ${unknown.join(', ')}, and there is no such entity.`], 'Correct the name.')
  const isNamed = ({ className }: EntityMetadata): boolean =>
    shown.some(meta => meta.className === className) && resources[className] !== false
  return shown.filter(isNamed).map(meta => {
    const { passwords = {}, hide = [] } = toldOf(meta.className, options)
    return new MikroResource(meta, passwords, isNamed, hide)
  })
}

/** The same AdminJS with the resources of one mode: navigation, pages and look-ups know no others. */
function ofMode(admin: AdminJS, mode: Mode): AdminJS {
  const all = admin.resources as MikroResource[]
  const home = all.filter(({ meta }) => (planeOf(meta) === 'tenant') === (mode === 'tenant'))
  // Shared rows that a tenant's refer to are looked up by name.
  const referred = new Set(home.flatMap(({ meta }) => meta.props.filter(isReference).map(each => each.targetMeta?.className)))
  const guests = all.filter(
    ({ meta }) => !home.some(each => each.meta === meta) && referred.has(meta.className) && marksOf(meta)[CONTROL_ONLY] !== true,
  )
  return Object.create(admin, {
    resources: { value: [...home, ...guests] },
    // The bundle is made already; and what never ends is never announced.
    initialize: { value: () => new Promise<void>(() => undefined) },
  }) as AdminJS
}
