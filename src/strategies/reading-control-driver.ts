/** The control plane for an actor who may read shared entities and not write them. */
import { ControlDriver } from '../connections/control-driver.ts'
import { ForbiddenError } from '../errors.ts'

/** The permission that writing shared entities through `controlEm()` needs. */
export const CONTROL_WRITE_PERMISSION = 'data:write'

export class ReadingControlDriver extends ControlDriver {
  static over(control: ControlDriver): ReadingControlDriver {
    return Object.assign(Object.create(ReadingControlDriver.prototype) as ReadingControlDriver, control)
  }

  override createQueryBuilder(...args: Parameters<ControlDriver['createQueryBuilder']>): ReturnType<ControlDriver['createQueryBuilder']> {
    return readOnly(super.createQueryBuilder(...args))
  }

  override nativeInsert(): Promise<unknown> {
    return Promise.reject(forbidden())
  }

  override nativeInsertMany(): Promise<unknown> {
    return Promise.reject(forbidden())
  }

  override nativeUpdate(): Promise<unknown> {
    return Promise.reject(forbidden())
  }

  override nativeUpdateMany(): Promise<unknown> {
    return Promise.reject(forbidden())
  }

  override nativeDelete(): Promise<unknown> {
    return Promise.reject(forbidden())
  }

  override nativeClone(): Promise<unknown> {
    return Promise.reject(forbidden())
  }
}

type Builder = ReturnType<ControlDriver['createQueryBuilder']>

/** Refuses writes, in every clone as well: a clone has the methods of its class again. */
function readOnly(builder: Builder): Builder {
  const clone = builder.clone.bind(builder)
  return Object.assign(builder, {
    insert: refuse,
    update: refuse,
    delete: refuse,
    truncate: refuse,
    clone: (...args: unknown[]) => readOnly(clone(...args)),
  })
}

const forbidden = () => new ForbiddenError(CONTROL_WRITE_PERMISSION)
const refuse = (): never => {
  throw forbidden()
}
