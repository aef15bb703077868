/** What the Audit section shows: the six fields, with the names of those who acted. */
import type { ActionContext, RecordJSON } from 'adminjs'
import { AUDIT_FIELDS } from '../src/audit/audit-fields.ts'
import { currentContext } from '../src/context/context.ts'
import type { Tenancy } from '../src/tenancy.ts'
import type { AdminAccounts } from './accounts.ts'
import { say } from './locale/sentences.ts'
import { LANGUAGES } from './locale/words.ts'
import { personOf, type AdminPerson } from './person.ts'

/** The name of the property that stands for the section. */
export const AUDIT_SECTION = 'audit'
const ACTORS = AUDIT_FIELDS.filter(name => name.endsWith('By'))

/** Names the actors of records: `global:<id>`, `tenant:<id>` and `system:<job>` say nothing to a person. */
export class ActorNames {
  readonly #tenancy: Tenancy
  readonly #accounts: AdminAccounts

  constructor(tenancy: Tenancy, accounts: AdminAccounts) {
    this.#tenancy = tenancy
    this.#accounts = accounts
  }

  /** An after hook of show and edit: puts the names beside the record's values. */
  readonly hook = async <T extends { record?: RecordJSON }>(response: T, _request: unknown, context: ActionContext): Promise<T> => {
    const { record } = response
    if (record?.params === undefined) return response
    const keys = ACTORS.map(name => record.params[name] as unknown).filter(key => typeof key === 'string')
    const names = await this.of(keys, personOf(context.currentAdmin))
    for (const name of ACTORS) {
      const key = record.params[name] as unknown
      if (typeof key === 'string') record.params[`${AUDIT_SECTION}.${name}`] = names.get(key) ?? key
    }
    return response
  }

  /** Names by stored actor, for who reads them; who is unknown is missing. */
  async of(given: readonly string[], reader: AdminPerson | undefined): Promise<ReadonlyMap<string, string>> {
    const names = new Map<string, string>()
    const language = reader?.language ?? LANGUAGES[0]
    const keys = [...new Set(given)]
    const ids = (plane: string): string[] => keys.filter(key => key.startsWith(`${plane}:`)).map(key => key.slice(plane.length + 1))
    for (const id of ids('system')) names.set(`system:${id}`, say(language, `System (${id})`))
    const globals = ids('global')
    // Who the operators are is no tenant's business.
    if (reader?.isGlobal !== true) for (const id of globals) names.set(`global:${id}`, say(language, 'Operator'))
    else if (globals.length > 0) {
      const found = await this.#tenancy.runAsSystem('admin-accounts', () => this.#accounts.names(globals, 'global'))
      for (const [id, name] of found) names.set(`global:${id}`, say(language, `${name} (operator)`))
    }
    const locals = ids('tenant')
    if (locals.length > 0 && currentContext()?.tenant !== undefined)
      for (const [id, name] of await this.#accounts.names(locals, 'tenant')) names.set(`tenant:${id}`, name)
    return names
  }
}
