/**
 * The resources of the panel. Every action of every resource is fenced here: its mode, its permission and the state of its record are asked
 * in `isAccessible`, which AdminJS asks before it runs anything, by functions that are not async.
 */
import type { ActionContext, ActionRequest, PropertyOptions, ResourceOptions, ResourceWithOptions } from 'adminjs'
import { AUDIT_FIELDS } from '../src/audit/audit-fields.ts'
import { CONTROL_ONLY, marksOf } from '../src/classification/scope.ts'
import { STATUS_FILTER, type MikroResource } from './adapter/resource.ts'
import type { MikroProperty } from './adapter/property.ts'
import { ownActions } from './actions.ts'
import { AUDIT_SECTION } from './audit-section.ts'
import { bulkAction } from './bulk.ts'
import type { ComponentNames } from './component-names.ts'
import { deletedActions } from './deleted.ts'
import { HISTORY_SECTION, historyAction, isRecorded, type HistorySurroundings } from './history-action.ts'
import type { AdminResourceOptions } from './options.ts'
import { personOf } from './person.ts'
import type { RegistryRules } from './registry-rules.ts'

type OneAction = Readonly<Record<string, unknown>> & { readonly isAccessible?: ((context: ActionContext) => boolean) | undefined }
type Actions = Record<string, OneAction>

/** What resources are made with. */
export interface ResourceSurroundings extends HistorySurroundings {
  readonly components: ComponentNames
  /** Of the framework's own entities, by name. */
  readonly registry: ReadonlyMap<string, RegistryRules>
}

/** The name of the property that stands for the status of a record. */
export const STATUS_BADGE = 'deleted_status'
const MAX_COLUMNS = 6
const SHORT: ReadonlySet<string> = new Set([
  'string',
  'enum',
  'boolean',
  'date',
  'datetime',
  'decimal',
  'integer',
  'bigint',
  'float',
  'reference',
])
/** AdminJS's own actions, and what they take. Those of the registry's entities take `tenants:read`, and change nothing. */
const NEEDS: Readonly<Record<string, string>> = {
  list: 'data:read',
  search: 'data:read',
  show: 'data:read',
  [HISTORY_SECTION]: 'data:read',
  new: 'data:write',
  edit: 'data:write',
  delete: 'data:delete',
  bulkDelete: 'data:delete',
  restore: 'data:restore',
  restore_selected: 'data:restore',
  hard_delete: 'data:purge',
  hard_delete_selected: 'data:purge',
}
const BUILT_IN = ['list', 'search', 'show', 'new', 'edit', 'delete', 'bulkDelete'] as const
const READS: ReadonlySet<string> = new Set(['list', 'search', 'show', HISTORY_SECTION])

/** A resource with its options, all actions fenced. */
export function resourceOf(resource: MikroResource, options: AdminResourceOptions, around: ResourceSurroundings): ResourceWithOptions {
  const actions: Actions = { ...ownActions(options.actions ?? {}, around.components) }
  const rules = around.registry.get(resource.id())
  for (const name of BUILT_IN) actions[name] = builtIn(name, resource, options, around)
  // What happens to rows of the registry is the registry's to decide.
  const hasBin = resource.hasSoftDelete && (!isRegistry(resource) || rules?.isEdited === true)
  if (hasBin) Object.assign(actions, deletedActions(around.components))
  actions[HISTORY_SECTION] = historyAction(resource, options.hide ?? [], around)
  for (const [name, action] of Object.entries(rules?.actions ?? {})) actions[name] = joined(actions[name], action)
  for (const [name, action] of Object.entries(actions)) actions[name] = fenced(name, action, resource, options, rules)
  return {
    resource,
    options: {
      // The newest first, by an index: ids are ordered by time.
      sort: { sortBy: resource.meta.primaryKeys[0]!, direction: 'desc' },
      navigation: { name: null, icon: resource.plane === 'tenant' ? 'Database' : 'Globe' },
      ...(options.title === undefined ? {} : { titleProperty: options.title }),
      listProperties: [...(hasBin ? [STATUS_BADGE] : []), ...columnsOf(resource, options)],
      filterProperties: [...filtersOf(resource, options)],
      properties: { ...propertiesOf(resource, options, around.components, hasBin), ...rules?.properties },
      actions: actions as ResourceOptions['actions'],
    } as ResourceOptions,
  }
}

/** The hooks of both, and of everything else the second one's. */
function joined(first: OneAction | undefined, second: OneAction): OneAction {
  const hooks = (name: 'before' | 'after') => [...((first?.[name] ?? []) as unknown[]), ...((second[name] ?? []) as unknown[])]
  return { ...first, ...second, before: hooks('before'), after: hooks('after') }
}

function builtIn(
  name: string,
  resource: MikroResource,
  options: AdminResourceOptions,
  { components, names }: ResourceSurroundings,
): OneAction {
  const isLive = ({ record }: ActionContext): boolean => record?.param('deletedAt') == null
  if (name === 'bulkDelete') return { ...bulkAction(components, deletion(resource)), isAccessible: isLive }
  if (name === 'delete') return { isAccessible: isLive }
  if (name === 'new') return { before: [editableOnly(resource, options)] }
  if (name === 'edit') return { isAccessible: isLive, before: [editableOnly(resource, options)], after: [names.hook] }
  return name === 'show' ? { after: [names.hook] } : {}
}

/**
 * AdminJS writes to the id that the form sends, and asks only whether the one in the path may be written. And a form that was forged sends
 * what is only shown, or not even that.
 */
function editableOnly(resource: MikroResource, { readOnly = [], hide = [] }: AdminResourceOptions) {
  const kept = [resource.meta.primaryKeys[0]!, ...readOnly, ...hide]
  const isSent = (name: string): boolean => !kept.some(each => name === each || name.startsWith(`${each}.`))
  return (request: ActionRequest): ActionRequest => {
    const version = resource.meta.versionProperty as string | undefined
    const payload = Object.entries(request.payload ?? {}).filter(([name]) => isSent(name) || name === version)
    return { ...request, payload: Object.fromEntries(payload) }
  }
}

function deletion(resource: MikroResource) {
  return {
    icon: 'Trash2',
    title: 'Delete these records?',
    text: resource.hasSoftDelete ? 'They are hidden, and can be restored.' : 'They are gone for good.',
    button: 'Delete',
    run: async (target: MikroResource, ids: readonly string[]) => `${await target.deleteMany(ids)} deleted`,
  }
}

/** Mode and permission come before everything else that an action asks. */
function fenced(
  name: string,
  action: OneAction,
  resource: MikroResource,
  options: AdminResourceOptions,
  rules: RegistryRules | undefined,
): OneAction {
  const ruled = rules?.needs[name]
  const isRead = READS.has(name)
  const custom = options.actions?.[name]
  const needs = isRead
    ? [isRegistry(resource) ? 'tenants:read' : 'data:read']
    : [...(ruled ?? [custom?.permission ?? NEEDS[name] ?? 'data:write'])]
  if (!isRead && options.permission !== undefined) needs.push(options.permission)
  const isLocked =
    !isRead &&
    custom === undefined &&
    ((isRegistry(resource) && ruled === undefined) ||
      options.locked === true ||
      (name === 'new' && ruled === undefined && !canBeMade(resource, options)))
  const admits = (context: ActionContext): boolean => {
    const person = personOf(context.currentAdmin)
    if (person === undefined || isLocked || !needs.every(permission => person.permissions.includes(permission))) return false
    const isAtHome = person.mode === (resource.plane === 'tenant' ? 'tenant' : 'global')
    // A tenant names the shared rows that its own refer to, and does nothing else with them.
    return isAtHome || (name === 'search' && resource.plane === 'shared' && !isRegistry(resource))
  }
  const own = action.isAccessible
  return { ...action, isAccessible: context => admits(context) && (own === undefined || own(context)) }
}

function isRegistry({ meta }: MikroResource): boolean {
  return marksOf(meta)[CONTROL_ONLY] === true
}

/** A row whose hidden columns must be filled, such as the hash of a password, is not made by a form. */
function canBeMade({ meta }: MikroResource, { passwords = {} }: AdminResourceOptions): boolean {
  return !meta.props.some(
    each =>
      each.hidden &&
      !Object.hasOwn(passwords, each.name) &&
      !each.nullable &&
      each.persist !== false &&
      each.default === undefined &&
      !each.onCreate,
  )
}

function isPlain(property: MikroProperty, options: AdminResourceOptions): boolean {
  const name = property.name()
  return property.isVisible() && !AUDIT_FIELDS.includes(name as never) && !(options.hide ?? []).includes(name)
}

function columnsOf(resource: MikroResource, options: AdminResourceOptions): readonly string[] {
  // Lists do not load collections.
  const isColumn = (name: string): boolean => resource.property(name)?.kind !== 'collection'
  if (options.list !== undefined) return options.list.filter(isColumn)
  const plain = resource.properties().filter(each => isPlain(each, options) && !each.isId() && !each.isArray() && SHORT.has(each.kind))
  const names = plain.sort((a, b) => Number(b.isTitle()) - Number(a.isTitle()) || a.position() - b.position()).map(each => each.name())
  return names.length === 0 ? [resource.meta.primaryKeys[0]!] : names.slice(0, MAX_COLUMNS)
}

function filtersOf(resource: MikroResource, options: AdminResourceOptions): readonly string[] {
  const plain = resource.properties().filter(each => isPlain(each, options) && each.kind !== 'json' && each.kind !== 'collection')
  return [...plain.map(each => each.name()), ...(resource.hasSoftDelete ? ['createdAt', STATUS_FILTER] : [])]
}

function propertiesOf(
  resource: MikroResource,
  options: AdminResourceOptions,
  components: ComponentNames,
  hasBin: boolean,
): Record<string, PropertyOptions> {
  const properties: Record<string, PropertyOptions> = {}
  const shownAs = (list: boolean, filter: boolean, show: boolean, edit: boolean) => ({ isVisible: { list, filter, show, edit } })
  for (const property of resource.properties()) {
    const name = property.name()
    const isAudit = AUDIT_FIELDS.includes(name as never)
    // Their values are in the record all the same: the section reads them there.
    if (isAudit) properties[name] = shownAs(false, name === 'createdAt', false, false)
    else if (!isPlain(property, options)) properties[name] = shownAs(false, false, false, false)
    else if (property.isId()) properties[name] = shownAs(true, true, true, false)
    else if ((options.readOnly ?? []).includes(name) || !property.isEditable()) properties[name] = shownAs(true, true, true, false)
    if (property.kind === 'collection') {
      const { show = true, edit = true } = (properties[name]?.isVisible ?? {}) as { readonly show?: boolean; readonly edit?: boolean }
      properties[name] = {
        ...shownAs(false, false, show, edit),
        components: { show: components.MembersShow, edit: components.MembersEdit },
      }
    }
    const place = (options.order ?? []).indexOf(name)
    properties[name] = { type: property.formType, ...(place < 0 ? {} : { position: place - 1_000 }), ...properties[name] }
    const values = options.values?.[name]
    if (values !== undefined) properties[name] = { ...properties[name], availableValues: values.map(value => ({ value, label: value })) }
    if (property.kind === 'json') properties[name] = { ...properties[name], components: { show: components.JsonShow } }
  }
  for (const name of Object.keys(options.passwords ?? {}))
    properties[name] = {
      type: 'password',
      position: 9_500,
      ...shownAs(false, false, false, true),
      components: { edit: components.PasswordEdit },
    }
  const fields = AUDIT_FIELDS.filter(name => name in resource.meta.properties)
  if (fields.length > 0) {
    properties[AUDIT_SECTION] = {
      position: 10_000,
      hideLabel: true,
      ...shownAs(false, false, true, true),
      components: { show: components.AuditSection, edit: components.AuditSection },
      custom: { fields },
    }
  }
  properties[HISTORY_SECTION] = {
    position: 10_001,
    hideLabel: true,
    ...shownAs(false, false, true, true),
    components: { show: components.History, edit: components.History },
    custom: { isRecorded: isRecorded(resource) },
  }
  if (hasBin) {
    properties[STATUS_BADGE] = {
      ...shownAs(true, false, true, false),
      position: -10,
      isSortable: false,
      components: { list: components.StatusBadge, show: components.StatusBadge },
    }
  }
  if (resource.hasSoftDelete) {
    properties[STATUS_FILTER] = {
      ...shownAs(false, true, false, false),
      availableValues: ['active', 'deleted', 'all'].map(value => ({ value, label: value })),
    }
  }
  return properties
}
