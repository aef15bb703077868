/** The subscribers of every run: one list for all, since making it for each run costs more than the rest of a run's beginning. */
import { EventManager, type EventSubscriber } from '@mikro-orm/postgresql'
import { ConfigurationError } from '../errors.ts'

export class RunEvents extends EventManager {
  readonly #complete: boolean = true

  /** What is registered while a tenant is active would hear every other one. @throws CONFIGURATION_INVALID */
  override registerSubscriber(subscriber: EventSubscriber): void {
    // The constructor of the base class calls this before there are fields of this one.
    if (#complete in this && this.#complete)
      throw new ConfigurationError(
        ['A subscriber cannot be registered on the EntityManager of a run: it would hear every tenant.'],
        'Give it to createTenancy({ subscribers: […] }), or register it on a fork of its own: em().fork({ cloneEventManager: true }).',
      )
    super.registerSubscriber(subscriber)
  }

  /** A copy: the list itself is not to be changed. */
  override getSubscribers(): Set<EventSubscriber> {
    return new Set(super.getSubscribers())
  }
}
