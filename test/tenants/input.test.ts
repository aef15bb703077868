import { assert } from 'chai'
import { checkTenant, checkTenantChange, type TenantInput } from '../../src/tenants/input.ts'
import { fieldsOf, refused } from './refused.ts'

const URL = 'postgresql://app:secret-word@db.example.test:5432/app'
const GIVEN = {
  schemaName: 'chosen_schema',
  connectionAlias: 'chosen_alias',
  connectionString: URL,
  provisioningConnectionString: URL,
} as const
const PATHS = {
  schemaName: 'schema_name',
  connectionAlias: 'connection_alias',
  connectionString: 'connection_string',
  provisioningConnectionString: 'provisioning_connection_string',
} as const
type Field = keyof typeof GIVEN
/** The table of PARITY M3. */
const MATRIX: readonly { isolation: 'schema' | 'database'; provisioning: 'auto' | 'manual'; required: Field[]; refused: Field[] }[] = [
  {
    isolation: 'schema',
    provisioning: 'auto',
    required: [],
    refused: ['schemaName', 'connectionAlias', 'connectionString', 'provisioningConnectionString'],
  },
  {
    isolation: 'schema',
    provisioning: 'manual',
    required: ['schemaName'],
    refused: ['connectionAlias', 'connectionString', 'provisioningConnectionString'],
  },
  { isolation: 'database', provisioning: 'auto', required: [], refused: ['schemaName', 'connectionAlias', 'connectionString'] },
  { isolation: 'database', provisioning: 'manual', required: ['connectionAlias', 'connectionString'], refused: ['schemaName'] },
]
const check = (input: Partial<Record<keyof TenantInput, unknown>>) =>
  checkTenant({ slug: 'acme', name: 'Acme', isolation: 'schema', ...input } as TenantInput, 'tenant')

describe("a tenant's fields", () => {
  for (const { isolation, provisioning, required, refused: forbidden } of MATRIX) {
    const base = { isolation, provisioning, ...Object.fromEntries(required.map(field => [field, GIVEN[field]])) }

    describe(`${isolation}/${provisioning}`, () => {
      it('takes what it needs', () => {
        const checked = check(base)
        assert.equal(checked.schemaName, isolation === 'schema' ? (provisioning === 'auto' ? 'tenant_acme' : 'chosen_schema') : undefined)
        assert.equal(
          checked.connectionAlias,
          isolation === 'database' ? (provisioning === 'auto' ? 'tenant_acme' : 'chosen_alias') : undefined,
        )
        assert.deepEqual(checked.metadata, {})
      })

      for (const field of Object.keys(GIVEN) as Field[]) {
        if (forbidden.includes(field)) {
          it(`refuses ${PATHS[field]}, blank or malformed as well`, async () => {
            for (const value of [GIVEN[field], '', '!'])
              assert.deepEqual(fieldsOf(await refused(() => check({ ...base, [field]: value }), 'VALIDATION_FAILED')), [PATHS[field]])
          })
        } else if (required.includes(field)) {
          it(`needs ${PATHS[field]}`, async () => {
            for (const value of [undefined, '', '  ']) {
              const paths = new Set(fieldsOf(await refused(() => check({ ...base, [field]: value }), 'VALIDATION_FAILED')))
              assert.deepEqual([...paths], [PATHS[field]])
            }
          })
        } else {
          it(`may have ${PATHS[field]}`, () => assert.equal(check({ ...base, [field]: GIVEN[field] })[field], GIVEN[field]))
        }
      }

      it('names every refused field at once', async () => {
        const everything = { ...base, ...GIVEN, name: ' ', slug: 'A' }
        assert.deepEqual(
          fieldsOf(await refused(() => check(everything), 'VALIDATION_FAILED')),
          ['name', 'slug', ...forbidden.map(field => PATHS[field])].toSorted(),
        )
      })
    })
  }

  it('refuses unknown modes', async () => {
    assert.deepEqual(fieldsOf(await refused(() => check({ isolation: 'table' }), 'VALIDATION_FAILED')), ['isolation_mode'])
    assert.deepEqual(fieldsOf(await refused(() => check({ isolation: 'constructor' }), 'VALIDATION_FAILED')), ['isolation_mode'])
    assert.deepEqual(fieldsOf(await refused(() => check({ provisioning: 'magic' }), 'VALIDATION_FAILED')), ['provisioning_mode'])
  })

  it('refuses what is not a slug', async () => {
    for (const slug of ['', 'ab', 'A-b', 'a--b', '-ab', 'ab-', '1ab', 'a_b', 'a.b', `a${'b'.repeat(50)}`, 'a b', 'ä-b', 7, null])
      assert.deepEqual(fieldsOf(await refused(() => check({ slug }), 'VALIDATION_FAILED')), ['slug'], String(slug))
  })

  it('refuses reserved slugs, schemas and aliases', async () => {
    for (const slug of ['admin', 'api', 'default', 'public', 'tenants', 'template1', 'information-schema', 'postgres'])
      assert.deepEqual(fieldsOf(await refused(() => check({ slug }), 'RESERVED_NAME')), ['slug'], slug)
    for (const name of ['public', 'information_schema', 'pg_catalog', 'pg_toast', 'tenant', 'default', 'control_plane']) {
      const schema = { provisioning: 'manual', schemaName: name }
      assert.deepEqual(fieldsOf(await refused(() => check(schema), 'RESERVED_NAME')), ['schema_name'], name)
      const alias = { isolation: 'database', provisioning: 'manual', connectionAlias: name, connectionString: URL }
      assert.deepEqual(fieldsOf(await refused(() => check(alias), 'RESERVED_NAME')), ['connection_alias'], name)
    }
  })

  it('refuses names that are no identifiers', async () => {
    for (const name of ['A', 'a-b', 'a b', '1a', 'a"b', 'a;drop', `a${'b'.repeat(63)}`]) {
      assert.deepEqual(fieldsOf(await refused(() => check({ provisioning: 'manual', schemaName: name }), 'VALIDATION_FAILED')), [
        'schema_name',
      ])
      const alias = { isolation: 'database', provisioning: 'manual', connectionAlias: name, connectionString: URL }
      assert.deepEqual(fieldsOf(await refused(() => check(alias), 'VALIDATION_FAILED')), ['connection_alias'])
    }
  })

  const WRONG_URLS = [
    'secret-word',
    'mysql://app:secret-word@host/app',
    'oracle://app:secret-word@host/app',
    'sqlite:///secret-word.db',
    'http://app:secret-word@host/app',
    'postgresql://app:secret-word@host',
    'postgresql://app:secret-word@host/',
    'postgresql:///secret-word',
    'postgresql://app:secret-word@host:99999/app',
    'postgresql://app:secret-word%zz@host/app',
    'postgresql://app:secret-word@host/%ff',
    'postgresql://app:secret-word@host/a%00b',
    'postgresql://app:secret-word@host/app?sslmode=maybe',
  ]
  for (const [index, wrong] of WRONG_URLS.entries()) {
    it(`refuses a URL and never repeats it (${index + 1})`, async () => {
      const manual = { isolation: 'database', provisioning: 'manual', connectionAlias: 'alias_a' }
      const change = { isolation: 'database', provisioning: 'auto' } as const
      const errors = [
        [await refused(() => check({ ...manual, connectionString: wrong }), 'VALIDATION_FAILED'), 'connection_string'],
        [
          await refused(() => check({ isolation: 'database', provisioningConnectionString: wrong }), 'VALIDATION_FAILED'),
          'provisioning_connection_string',
        ],
        [await refused(() => checkTenantChange({ ...change, connectionString: wrong }), 'VALIDATION_FAILED'), 'connection_string'],
      ] as const
      for (const [error, path] of errors) {
        assert.deepEqual(fieldsOf(error), [path])
        assert.notInclude(`${error.message} ${error.hint} ${JSON.stringify(error)} ${String(error.stack)}`, 'secret-word')
      }
    })
  }

  it('refuses names and metadata that PostgreSQL cannot keep', async () => {
    for (const name of ['', '   ', 'a\0b', 'n'.repeat(151), 7])
      assert.deepEqual(fieldsOf(await refused(() => check({ name }), 'VALIDATION_FAILED')), ['name'])
    for (const metadata of [{ a: 'x\0y' }, { 'k\0': 1 }, { a: { b: ['\0'] } }, { a: '\\\0' }, { a: '\ud800' }, [], null, 'text'])
      assert.deepEqual(fieldsOf(await refused(() => check({ metadata }), 'VALIDATION_FAILED')), ['metadata'], JSON.stringify(metadata))
    assert.deepEqual(check({ metadata: { a: 'written \\u0000', b: '😀' } }).metadata, { a: 'written \\u0000', b: '😀' })
  })

  it('refuses secrets for a schema tenant when it changes as well', async () => {
    const change = { isolation: 'schema', provisioning: 'auto', connectionString: URL, provisioningConnectionString: URL } as const
    assert.deepEqual(fieldsOf(await refused(() => checkTenantChange(change), 'VALIDATION_FAILED')), [
      'connection_string',
      'provisioning_connection_string',
    ])
    checkTenantChange({ isolation: 'schema', provisioning: 'auto', name: 'New', metadata: {} })
  })
})
