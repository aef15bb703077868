/** Writes and reads the durable record of operations on tenants. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { actorKey } from './context/context.ts'
import { NotFoundError, TenancyError } from './errors.ts'
import { newId } from './ids.ts'
import type { OperationResult, Progress } from './provisioning/progress.ts'
import { reasonOf } from './provisioning/steps.ts'
import { tenantLockKey } from './provisioning/tenant-lock.ts'
import type { TenantRow } from './tenants/directory.ts'
import type { OperationFailure, OperationStatus, OperationStep, StepStatus } from './tenants/tenant-operations.ts'

/** An operation on a tenant, as far as it is; times are ISO 8601 in UTC. */
export interface OperationJson {
  readonly id: string
  readonly name: string
  /** The slug of the tenant. */
  readonly tenant: string
  /** `interrupted`: it says that it runs, and nobody works on it. */
  readonly status: OperationStatus
  /** Who began it, as in audit columns. */
  readonly actor: string
  readonly steps: readonly OperationStep[]
  /** Migrations that were applied, or resources that were dropped; `hook_failures` when hooks threw. */
  readonly result: Readonly<Record<string, unknown>>
  readonly error: OperationFailure | null
  readonly started_at: string
  readonly finished_at: string | null
}

const TABLE = 'public.tenantkit_tenant_operation'
/** Of each tenant; older ones are removed when one begins. */
const KEPT = 100
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const MESSAGE_MAX = 2_000
const HELD = `exists (select 1 from pg_catalog.pg_locks l where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  and ((l.classid::bigint << 32) | l.objid::bigint) = ?::bigint)`

interface Row {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly status: OperationStatus
  readonly actor: string
  readonly steps: unknown
  readonly result: unknown
  readonly error: unknown
  readonly started_at: Date | string
  readonly finished_at: Date | string | null
}

export class OperationRecords {
  readonly #control: () => EntityManager

  /** `control` gives a new EntityManager of the control plane. */
  constructor(control: () => EntityManager) {
    this.#control = control
  }

  /** A record that is written when its operation begins: what is refused leaves none. */
  open(name: string): OperationRecord {
    return new OperationRecord(this.#control, name)
  }

  /** The newest operations of a tenant, the newest first. */
  async list(tenantId: string, slug: string, limit: number): Promise<readonly OperationJson[]> {
    const rows = await this.#rows('"tenant_id" = ?', [tenantId], limit)
    const isHeld = rows.some(isRunning) ? await this.#isHeld(slug) : true
    // It may have ended between the two queries: only what says twice that it runs was cut off.
    const again = isHeld ? rows : await this.#rows('"tenant_id" = ?', [tenantId], limit)
    const said = new Set(rows.filter(isRunning).map(({ id }) => id))
    return again.map(row => jsonOf(row, isHeld || !said.has(row.id)))
  }

  /** @throws NOT_FOUND */
  async show(id: string): Promise<OperationJson> {
    const find = async (): Promise<Row | undefined> => (UUID.test(id) ? (await this.#rows('"id" = ?', [id], 1))[0] : undefined)
    let row = await find()
    if (row === undefined) throw new NotFoundError('operation')
    const isHeld = isRunning(row) ? await this.#isHeld(row.slug) : true
    if (!isHeld) row = (await find()) ?? row
    return jsonOf(row, isHeld)
  }

  #rows(where: string, parameters: readonly unknown[], limit: number): Promise<Row[]> {
    const sql = `select * from ${TABLE} where ${where} order by "id" desc limit ?`
    return this.#control().execute<Row[]>(sql, [...parameters, limit])
  }

  async #isHeld(slug: string): Promise<boolean> {
    const [row] = await this.#control().execute<{ held: boolean }[]>(`select ${HELD} as held`, [tenantLockKey(slug)])
    return row?.held === true
  }
}

/** The record of one operation, which is told of its progress. */
export class OperationRecord implements Progress {
  readonly id = newId()
  /** Settles when the operation begins. */
  readonly begun: Promise<void>
  readonly #control: () => EntityManager
  readonly #name: string
  #announce: () => void = () => undefined
  #steps: readonly OperationStep[] = []

  constructor(control: () => EntityManager, name: string) {
    this.#control = control
    this.#name = name
    this.begun = new Promise(resolve => (this.#announce = resolve))
  }

  /** @throws NO_ACTOR */
  async begin({ id: tenantId, slug }: TenantRow): Promise<void> {
    const columns = '"id", "tenant_id", "slug", "name", "status", "actor", "started_at"'
    const values = [this.id, tenantId, slug, this.#name, 'running', actorKey(), new Date()]
    // It holds the tenant's lock: what says that it runs was cut off.
    const cutOff = `update ${TABLE} set "status" = 'interrupted', "finished_at" = ? where "tenant_id" = ? and "status" = 'running'`
    const old = `select "id" from ${TABLE} where "tenant_id" = ? order by "id" desc offset ${KEPT - 1}`
    await this.#run(
      `with cut_off as (${cutOff}), removed as (delete from ${TABLE} where "id" in (${old}) and "status" <> 'running')
        insert into ${TABLE} (${columns}) values (${values.map(() => '?').join(', ')})`,
      [new Date(), tenantId, tenantId, ...values],
    )
    this.#announce()
  }

  plan(names: readonly string[]): Promise<void> {
    this.#steps = names.map(name => ({ name, status: 'pending', started_at: null, finished_at: null }))
    return this.#told('"steps" = ?::jsonb', [this.#steps])
  }

  step(name: string, status: StepStatus): Promise<void> {
    const now = new Date().toISOString()
    const times = status === 'running' ? { started_at: now } : { finished_at: now }
    this.#steps = this.#steps.map(each => (each.name === name ? { ...each, status, ...times } : each))
    return this.#told('"steps" = ?::jsonb', [this.#steps])
  }

  succeed(result: OperationResult): Promise<void> {
    return this.#told(`"status" = 'succeeded', "finished_at" = ?, "result" = ?::jsonb`, [new Date(), result])
  }

  fail(error: unknown): Promise<void> {
    return this.#told(`"status" = 'failed', "finished_at" = ?, "error" = ?::jsonb`, [new Date(), failureOf(error)])
  }

  /** What it did, and what hooks made of it. */
  result(result: OperationResult): Promise<void> {
    return this.#told('"result" = ?::jsonb', [result])
  }

  /** The operation goes on, whatever becomes of its record: what is done to a tenant must not be left half done for it. */
  async #told(set: string, values: readonly unknown[]): Promise<void> {
    const parameters = values.map(value => (value instanceof Date ? value : JSON.stringify(value)))
    try {
      await this.#run(`update ${TABLE} set ${set} where "id" = ?`, [...parameters, this.id])
    } catch (error) {
      process.emitWarning(`The progress of ${this.#name} could not be recorded: ${reasonOf(error)}`, { code: 'TENANTKIT_OPERATION_RECORD' })
    }
  }

  async #run(sql: string, parameters: readonly unknown[]): Promise<void> {
    await this.#control().execute(sql, [...parameters], 'run')
  }
}

/** What a client may read of an error: of one that is not ours, its reason without SQL and URLs. */
export function failureOf(error: unknown): OperationFailure {
  if (error instanceof TenancyError) return { code: error.code, message: error.message.slice(0, MESSAGE_MAX), hint: error.hint ?? null }
  return { code: 'INTERNAL', message: reasonOf(error).slice(0, MESSAGE_MAX), hint: null }
}

function isRunning({ status }: Row): boolean {
  return status === 'running'
}

function jsonOf(row: Row, isHeld: boolean): OperationJson {
  const { id, name, slug, actor } = row
  return {
    id,
    name,
    tenant: slug,
    status: isRunning(row) && !isHeld ? 'interrupted' : row.status,
    actor,
    steps: parsed(row.steps) as readonly OperationStep[],
    result: parsed(row.result) as OperationResult,
    error: parsed(row.error) as OperationFailure | null,
    started_at: new Date(row.started_at).toISOString(),
    finished_at: row.finished_at === null ? null : new Date(row.finished_at).toISOString(),
  }
}

/** The driver gives JSON as text to some queries. */
function parsed(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value
}
