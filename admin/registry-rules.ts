/** What the panel knows of the framework's own entities, beyond what holds for every entity. */
import type { ActionContext, PropertyOptions } from 'adminjs'

/** An action as AdminJS takes it. */
export type RuledAction = Readonly<Record<string, unknown>> & { readonly isAccessible?: ((context: ActionContext) => boolean) | undefined }

/** The rules of one entity of the registry; what is not in `needs` is refused to everyone, but reading. */
export interface RegistryRules {
  /** The permissions that each action takes, all of them. */
  readonly needs: Readonly<Record<string, readonly string[]>>
  /** Actions of its own, and those that stand in for the built-in ones. */
  readonly actions?: Readonly<Record<string, RuledAction>>
  readonly properties?: Readonly<Record<string, PropertyOptions>>
  /** Whether rows are made, changed, deleted, restored and purged by forms, as an application's are. Default false. */
  readonly isEdited?: boolean
}
