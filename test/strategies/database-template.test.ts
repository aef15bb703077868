import { setTimeout } from 'node:timers/promises'
import { createHash, createHmac } from 'node:crypto'
import { assert } from 'chai'
import { withDirectClient } from '../../src/connections/direct.ts'
import { ensureTemplate, lockDownServer } from '../../src/strategies/database-template.ts'
import { scramVerifier } from '../../src/strategies/scram-verifier.ts'
import { dropRolesLike, freshDatabase, query, serverUrl, uniquePrefix } from '../helpers/postgres.ts'

describe('the template of tenant databases', () => {
  const prefix = uniquePrefix()
  const databases = async () =>
    (await query<{ name: string }>(serverUrl(), 'select datname as name from pg_database where starts_with(datname, $1)', [prefix])).map(
      ({ name }) => name,
    )
  after(async () => {
    for (const name of await databases()) {
      await query(serverUrl(), `alter database "${name}" is_template false`)
      await query(serverUrl(), `drop database "${name}" with (force)`)
    }
    await dropRolesLike(prefix)
  })

  it('replaces the one of an older script, and no database that only has such a name', async () => {
    const make = (fingerprint: string) =>
      withDirectClient(serverUrl(), client =>
        ensureTemplate(client, { prefix, script: { statements: [], fingerprint }, provisioningUrl: serverUrl() }),
      )
    const before = await make('a'.repeat(12))
    const [foreign] = [before.replace(/a+$/, 'foreign')]
    await query(serverUrl(), `create database "${foreign}" template template0`)
    const next = await make('b'.repeat(12))
    assert.sameMembers(await databases(), [foreign, next])
  })
})

describe('lockDownServer', () => {
  it('keeps the way in for the roles of the control plane', async () => {
    const prefix = uniquePrefix()
    const control = await freshDatabase('lock down')
    const [runtime, stranger] = [`${prefix}_runtime`, `${prefix}_stranger`]
    await query(serverUrl(), `create role "${runtime}" login; create role "${stranger}" login`)
    await withDirectClient(serverUrl(), client => lockDownServer(client, control.name, [runtime, undefined, `${prefix}_missing`]))
    const may = `select has_database_privilege($1, $3, 'connect') as runtime, has_database_privilege($2, $3, 'connect') as stranger`
    assert.deepEqual(await query(serverUrl(), may, [runtime, stranger, control.name]), [{ runtime: true, stranger: false }])
    await control.drop()
    await dropRolesLike(prefix)
  })

  it('tries again when another control plane changes the same row of the server', async () => {
    await using database = await freshDatabase('lockdown')
    const open = async () =>
      (
        await query<{ open: boolean }>(
          serverUrl(),
          `select datacl is null or exists (select 1 from aclexplode(datacl) a where a.grantee = 0 and a.privilege_type = 'CONNECT') as open
           from pg_database where datname = $1`,
          [database.name],
        )
      )[0]?.open
    assert.isTrue(await open())
    await withDirectClient(serverUrl(), async other => {
      await other.query('begin')
      await other.query(`grant temporary on database "${database.name}" to public`)
      const done = withDirectClient(serverUrl(), client => lockDownServer(client, database.name, []))
      // Long enough for the revoke to wait on the row that is changed here.
      await setTimeout(200)
      await other.query('commit')
      await done
    })
    assert.isFalse(await open())
  })
})

describe('scramVerifier', () => {
  it('computes what RFC 7677 shows, and never holds the password', () => {
    // RFC 7677, 3: user "user", password "pencil".
    const verifier = scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'))
    const [, storedKey, serverKey] =
      /^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$(.{44}):(.{44})$/.exec(verifier) ?? assert.fail(verifier)
    const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
    const said = `n=user,r=rOprNGfwEbeRWgbNEkqO,r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=${nonce}`
    const sign = (key: string | undefined) =>
      createHmac('sha256', Buffer.from(key ?? '', 'base64'))
        .update(said)
        .digest()
    assert.equal(sign(serverKey).toString('base64'), '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')
    const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64')
    const clientKey = proof.map((byte, index) => byte ^ sign(storedKey)[index]!)
    assert.equal(createHash('sha256').update(clientKey).digest('base64'), storedKey)
    assert.notInclude(scramVerifier('pencil'), 'pencil')
    assert.notEqual(scramVerifier('pencil'), scramVerifier('pencil'))
  })
})
