/** Guards of a run while it goes on and after it: its connection, its subscribers, its unit, handles, hand-overs, aborts, its own SQL. */
import type { Mutant } from './mutant.ts'

const RUN_CONNECTION = 'strategies/run-connection.ts'
const HELD = 'strategies/held-connections.ts'
const UNIT = 'context/unit.ts'
const HANDLE = 'context/tenant-handle.ts'
const HAND_OVER = 'context/hand-over.ts'
const TENANCY = 'tenancy.ts'
const RUNS = 'runs.ts'
const ABORT = 'http/abort.ts'
const SQL = 'strategies/tenant-sql.ts'

const CONNECTION_MUTANTS: readonly Mutant[] = [
  {
    name: 'RunConnection: the active run',
    file: RUN_CONNECTION,
    find: '  #admit(transaction?: unknown): void {\n    this.#run.assertActive()\n',
    replace: '  #admit(transaction?: unknown): void {\n',
  },
  {
    name: 'RunConnection: whose transaction it is',
    file: RUN_CONNECTION,
    find: 'if (transaction == null || beganBy.get(transaction) === this.#run.tenant.id) return',
    replace: 'if (1) return',
  },
  { name: 'RunConnection.end: its Kysely', file: RUN_CONNECTION, find: '    this.#held?.end()\n', replace: '' },
  {
    name: 'HeldConnections: the active run',
    file: HELD,
    find: 'Promise<HeldConnection> {\n    this.#run.assertActive()\n',
    replace: 'Promise<HeldConnection> {\n',
    // Each of them covers the others.
    also: [
      {
        file: HELD,
        find: '    try {\n      // The run may have ended while the connection was waited for.\n      this.#run.assertActive()\n',
        replace: '    try {\n',
      },
      {
        file: HELD,
        find: 'return this.control(pooled => {\n      this.#run.assertActive()\n',
        replace: 'return this.control(pooled => {\n',
      },
    ],
  },
  {
    name: 'HeldConnections: a connection that went back',
    file: HELD,
    find: '    if (!this.isOver) return\n',
    replace: '    if (1) return\n',
    also: [
      {
        file: HELD,
        find: 'return this.control(pooled => {\n      this.#run.assertActive()\n',
        replace: 'return this.control(pooled => {\n',
      },
    ],
  },
  {
    name: 'HeldConnections: given back once',
    file: HELD,
    find: '    if (!this.#held.delete(held)) return\n',
    replace: '    this.#held.delete(held)\n',
  },
  {
    name: 'HeldConnections.end: what is still out',
    file: HELD,
    find: '    for (const held of this.#held) void this.#takeBack(held)\n',
    replace: '',
  },
  ...(
    [
      ['execute', 'args[3]', 'return this.#target.execute(...args)'],
      ['stream', 'args[2]', 'const rows = this.#target.stream(...args)'],
      ['executeDump', '', 'await this.#target.executeDump(dump)'],
      ['begin', 'options.ctx', "const begin = Reflect.get(this.#target, 'begin')"],
      ['commit', 'args[0]', 'await this.#target.commit(...args)'],
      ['rollback', 'args[0]', 'await this.#target.rollback(...args)'],
      ['transactional', 'options.ctx', "const transactional = Reflect.get(this.#target, 'transactional')"],
      ['getClient', '', 'return this.#ownClient()'],
    ] as const
  ).map(([method, given, next]): Mutant => ({
    name: `RunConnection.${method}`,
    file: RUN_CONNECTION,
    find: `    this.#admit(${given})\n    ${next}`,
    replace: `    ${next}`,
  })),
  {
    name: 'RunConnection: the pool',
    file: RUN_CONNECTION,
    find: "    return Promise.reject(this.#refusal('close'))",
    replace: '    return this.#target.close(true) as Promise<never>',
  },
  {
    name: 'RunConnection: the client of the pool',
    file: RUN_CONNECTION,
    find: "    return Promise.reject(this.#refusal('getNativeClient'))",
    replace: '    return (this.#target as { getNativeClient(): Promise<never> }).getNativeClient()',
  },
  {
    name: 'HeldConnections: closes nothing',
    file: HELD,
    find: '  destroy(): Promise<void> {\n    return Promise.resolve()',
    replace: '  destroy(): Promise<void> {\n    return (this.#driver as unknown as { destroy(): Promise<void> }).destroy()',
  },
]

const RUN_MUTANTS: readonly Mutant[] = [
  {
    name: 'RunEvents.registerSubscriber',
    file: 'strategies/run-events.ts',
    find: 'if (#complete in this && this.#complete)',
    replace: 'if (false)',
  },
  {
    name: 'RunEvents.getSubscribers',
    file: 'strategies/run-events.ts',
    find: 'return new Set(super.getSubscribers())',
    replace: 'return super.getSubscribers()',
  },
  {
    name: 'Unit: rows of a stream without a tenant',
    file: UNIT,
    find: '  if (active === undefined) {\n',
    replace: '  if (active === undefined) return\n  if (false) {\n',
  },
  { name: 'Unit: rows of a stream in another tenant', file: UNIT, find: '  if (active.id !== tenant.id) {', replace: '  if (false) {' },
  {
    name: 'Unit: rows of a stream after its run',
    file: UNIT,
    find: "  if (state !== 'active') throw ended(tenant)\n",
    replace: '',
  },
  {
    name: 'Unit: statements of a run that was aborted',
    file: UNIT,
    find: "if (owner?.state === 'aborted' && ",
    replace: 'if (false && ',
    with: ['HeldConnections: a connection that went back'],
  },
  {
    name: 'Unit.abort: the statement that runs',
    file: UNIT,
    find: 'if (this.#options.cancels) for',
    replace: 'if (false) for',
  },
  {
    name: 'Unit.abort: the runs inside',
    file: UNIT,
    find: '    for (const unit of this.#inner ?? []) unit.abort()\n',
    replace: '',
  },
  {
    name: 'Unit: the signal of its owner',
    file: UNIT,
    find: "    options.signal?.addEventListener('abort', this.abort, { once: true })\n",
    replace: '',
  },
  {
    name: 'Unit: one end',
    file: UNIT,
    find: "    if (this.state !== 'active') return\n    this.#lifetime.state = state",
    replace: '    this.#lifetime.state = state',
  },
  {
    name: 'Runs.open: whether it is wanted',
    file: RUNS,
    find: "if (signal?.aborted === true || currentUnit()?.state === 'aborted') throw",
    replace: 'if (false) throw',
  },
  { name: 'Runs.abortPurged', file: RUNS, find: '        if (isGone) unit.abort()\n', replace: '        void isGone\n' },
  {
    name: 'a handle: whether its tenant serves',
    file: HANDLE,
    find: '      await stillServes()\n',
    replace: '',
  },
  // The look before and the look after the question cover each other, save for a handle that is disposed meanwhile.
  {
    name: 'a handle: disposed, before and after the question',
    file: HANDLE,
    find: "      if (unit.state !== 'active') throw disposed(unit.tenant)\n      await stillServes()\n",
    replace: '      await stillServes()\n',
    also: [
      {
        file: HANDLE,
        find: "      if (unit.state !== 'active') throw disposed(unit.tenant)\n      running++",
        replace: '      running++',
      },
    ],
    finds: 'the work of a disposed handle was done',
  },
  {
    name: 'a handle: disposed while it asks',
    file: HANDLE,
    find: "      if (unit.state !== 'active') throw disposed(unit.tenant)\n      running++",
    replace: '      running++',
  },
  {
    name: 'a handle: disposed while it works',
    file: HANDLE,
    find: 'if (running > 0) unit.abort()\n      else unit.end()',
    replace: 'unit.end()',
  },
  {
    name: 'runHandedOver: the id of the tenant',
    file: TENANCY,
    find: 'if (record === undefined || record.ref.id !== tenant.id) throw',
    replace: 'if (record === undefined) throw',
  },
  {
    name: 'runHandedOver: the status',
    file: TENANCY,
    find: "    assertServing(record.ref.slug, record.status)\n    // Nobody's actor",
    replace: "    // Nobody's actor",
  },
  { name: "runHandedOver: nobody's actor", file: TENANCY, find: '{ inherits: false }', replace: '{}' },
  {
    name: 'parseHandedOver: what is not known',
    file: HAND_OVER,
    find: "if (!keys.includes(key)) refuse(`${path}${key}`, 'is not known')",
    replace: 'void key',
  },
  {
    name: 'parseHandedOver: the plane',
    file: HAND_OVER,
    find: "if (plane !== 'global' && plane !== 'tenant' && plane !== 'system') refuse",
    replace: 'if (false) refuse',
  },
  {
    name: 'parseHandedOver: the permissions',
    file: HAND_OVER,
    find: 'permissions === undefined || isTexts(permissions) ? permissions :',
    replace: 'true ? (permissions as readonly string[] | undefined) :',
  },
  {
    name: 'whileConnected: the client goes away',
    file: ABORT,
    find: '    if (!response.writableFinished) unit.abort()\n',
    replace: '',
  },
  {
    name: 'whileConnected: the client went away before',
    file: ABORT,
    find: '  if (response.closed && !response.writableFinished) throw',
    replace: '  if (false) throw',
  },
  {
    name: 'tenantSql: an entity that is not known',
    file: SQL,
    find: 'const meta = driver.metadata.find(known)\n  if (meta === undefined || (meta.class as unknown) !== known || !hasTable(meta))',
    replace: 'const meta = driver.metadata.find(known) ?? ((entity as EntitySchema).meta as EntityMetadata)\n  if (false)',
  },
  {
    name: 'tenantSql: of the control plane alone',
    file: SQL,
    find: "if (marks[SCOPE] === 'both' || marks[CONTROL_ONLY] === true) {",
    replace: 'if (false) {',
  },
  {
    name: 'tenantSql: another database',
    file: SQL,
    find: "  if (driver.tenant.isolation === 'database') throw new CrossDatabaseQueryError(meta.className)\n",
    replace: '',
  },
  {
    name: 'tenantSql: writes of shared entities',
    file: SQL,
    find: 'if (!isColumn && !isRead(before)) refuse',
    replace: 'if (false) refuse',
  },
  {
    name: 'tenantSql: rows for some',
    file: SQL,
    find: '  return `(select * from ${place} where',
    replace: '  if (1) return place\n  return `(select * from ${place} where',
  },
  { name: 'tenantSql: the active run', file: SQL, find: '    driver.assertActive()\n    const written', replace: '    const written' },
  { name: 'tenantSql: one statement', file: SQL, find: "if (value === ';') throw", replace: 'if (false) throw' },
  { name: 'tenantSql: values in quotes', file: SQL, find: '    if (value.includes(HOLE))\n', replace: '    if (false)\n' },
  {
    name: 'tenantSql: a call with texts',
    file: SQL,
    find: 'if (!Array.isArray(texts) || !Array.isArray(texts.raw))',
    replace: 'if (false)',
  },
  {
    name: 'tenantSql: what is no value',
    file: SQL,
    find: '  if (value instanceof Uint8Array) return Buffer.from(value)\n',
    replace: '  return value as never\n',
  },
]

export const CONTEXT_MUTANTS: readonly Mutant[] = [
  ...CONNECTION_MUTANTS,
  ...RUN_MUTANTS.map(mutant => ({ ...mutant, probes: 'context' as const })),
]
