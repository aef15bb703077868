/** Guards of strict mode: the role of a tenant around everything that is sent, and nothing that would leave it. */
import type { Mutant } from './mutant.ts'

const ROLE = 'connections/role-connection.ts'

export const STRICT_MUTANTS: readonly Mutant[] = (
  [
    {
      name: 'strict mode: the role of a schema tenant',
      file: 'strategies/schema-strategy.ts',
      find: 'roles === undefined ? orm.controlConnection() : roles.connection(tenant.ref)',
      replace: 'orm.controlConnection()',
    },
    {
      name: 'strict mode: a statement in the role',
      file: ROLE,
      find: '.executeQuery(inRole(compiled, role), options)',
      replace: '.executeQuery(compiled, options)',
    },
    {
      name: 'strict mode: a transaction in the role',
      file: ROLE,
      find: 'await this.send(`${how}; ${setRole(this.#role)}`)',
      replace: 'await this.send(how)',
    },
    {
      name: 'strict mode: Kysely in the role',
      file: ROLE,
      find: 'return this.#query(inRole(compiled, this.#role))',
      replace: 'return this.#query(compiled)',
    },
    {
      name: 'strict mode: parameters of Kysely in the role',
      file: ROLE,
      find: "    await this.begin('begin')\n    try {\n      const result = await this.#query(compiled)\n      await this.end('commit')\n      return result",
      replace: '    try {\n      return await this.#query(compiled)',
    },
    {
      name: 'strict mode: a stream in the role',
      file: ROLE,
      find: 'const own = !this.#inTransaction\n',
      replace: 'const own = false\n',
    },
    {
      name: 'strict mode: the role ends with its transaction',
      file: ROLE,
      find: 'return `set local role ${quoteIdentifier(role)}`',
      replace: 'return `set role ${quoteIdentifier(role)}`',
    },
    {
      name: 'strict mode: one statement',
      file: ROLE,
      find: '      executeQuery: async (compiled, options) => {\n        assertSingleStatement(compiled.sql)\n',
      replace: '      executeQuery: async (compiled, options) => {\n',
    },
    {
      name: 'strict mode: one statement in a transaction',
      file: ROLE,
      find: '  async executeQuery(compiled: Compiled): Promise<unknown> {\n    assertSingleStatement(compiled.sql)\n',
      replace: '  async executeQuery(compiled: Compiled): Promise<unknown> {\n',
    },
    {
      name: 'strict mode: one statement in a stream',
      file: ROLE,
      find: '    assertSingleStatement(compiled.sql)\n    const own',
      replace: '    const own',
    },
    {
      name: 'strict mode: the sentinel schema',
      file: ROLE,
      find: 'if (prepared.query.includes(NO_TENANT_SCHEMA)) throw new NoTenantContextError()',
      replace: '',
    },
    // The run's connection gives no pool away, and neither does the role's behind it.
    {
      name: 'strict mode: the client of the pool, by the run and by the role',
      file: ROLE,
      find: "    return Promise.reject(\n      new CrossTenantEntityError(\n        'In strict mode",
      replace:
        "    if (1) return this.#on.shared.getNativeClient() as never\n    return Promise.reject(\n      new CrossTenantEntityError(\n        'In strict mode",
      with: ['RunConnection: the client of the pool'],
      finds: 'the client of the pool: not refused',
    },
  ] satisfies Mutant[]
).map(mutant => ({ ...mutant, strict: true }))
