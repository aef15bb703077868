/** A record that keeps to itself what a form sent as a password: AdminJS answers with what it was sent, also when that was refused. */
import { BaseRecord, type BaseResource, type CurrentAdmin } from 'adminjs'

export class MikroRecord extends BaseRecord {
  readonly #silent: readonly string[]

  constructor(params: Record<string, unknown>, resource: BaseResource, silent: readonly string[]) {
    super(params, resource)
    this.#silent = silent
  }

  override toJSON(currentAdmin?: CurrentAdmin): ReturnType<BaseRecord['toJSON']> {
    const json = super.toJSON(currentAdmin)
    const isSilent = (key: string): boolean => this.#silent.some(name => key === name || key.startsWith(`${name}.`))
    return { ...json, params: Object.fromEntries(Object.entries(json.params as object).filter(([key]) => !isSilent(key))) }
  }
}
