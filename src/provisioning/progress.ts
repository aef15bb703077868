/** Who is told how far an operation on a tenant is. */
import type { TenantRow } from '../tenants/directory.ts'
import type { StepStatus } from '../tenants/tenant-operations.ts'

/** Migrations that were `applied`, or resources that were `dropped`. */
export type OperationResult = Readonly<Record<string, unknown>>

/** Told while the tenant's lock is held: what is said here is true of the tenant. */
export interface Progress {
  /** It is allowed, and begins. @throws what keeps it from beginning */
  begin(row: TenantRow): Promise<void>
  /** Which steps it will have. */
  plan(names: readonly string[]): Promise<void>
  step(name: string, status: StepStatus): Promise<void>
  /** All steps are done, and this is what was done. */
  succeed(result: OperationResult): Promise<void>
  fail(error: unknown): Promise<void>
}

const nothing = (): Promise<void> => Promise.resolve()

/** Runs an operation and tells of its beginning and its end, both while the lock is held: nobody sees one that runs and is not worked on. */
export async function told(row: TenantRow, progress: Progress, work: () => Promise<OperationResult | void>): Promise<void> {
  await progress.begin(row)
  try {
    await progress.succeed((await work()) ?? {})
  } catch (error) {
    await progress.fail(error)
    throw error
  }
}

/** Runs what has one step only. */
export async function inOneStep<T>(progress: Progress, name: string, work: () => Promise<T>): Promise<T> {
  await progress.plan([name])
  await progress.step(name, 'running')
  try {
    const result = await work()
    await progress.step(name, 'succeeded')
    return result
  } catch (error) {
    await progress.step(name, 'failed')
    throw error
  }
}

/** Nobody is told. */
export const UNWATCHED: Progress = Object.freeze({ begin: nothing, plan: nothing, step: nothing, succeed: nothing, fail: nothing })
