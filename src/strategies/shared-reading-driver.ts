/** The control plane as one run in a tenant sees it: shared entities for reading, without what belongs to the control plane alone. */
import type { ControlDriver } from '../connections/control-driver.ts'
import type { QueryBuilderInternals } from '../connections/internals.ts'
import { pinnedQueryBuilder, type BuilderArguments, type PinnedTo } from './pinned-query-builder.ts'
import { ReadingControlDriver } from './reading-control-driver.ts'

export class SharedReadingDriver extends ReadingControlDriver {
  declare readonly run: PinnedTo

  /** The control plane for one run. */
  static forRun(control: ControlDriver, run: PinnedTo): SharedReadingDriver {
    return Object.assign(Object.create(SharedReadingDriver.prototype) as SharedReadingDriver, control, { run })
  }

  /** @throws CROSS_TENANT_ENTITY */
  override createQueryBuilder(...args: BuilderArguments): QueryBuilderInternals {
    this.getSchemaName(this.metadata.get(args[0]))
    return pinnedQueryBuilder(this, this.run, args)
  }
}
