import { assert } from 'chai'
import { controlEm, em, newId } from 'mikro-tenantkit'
import { sentDuring } from './helpers/spy.ts'
import { Person, ada, operator, testTenancy, twoTenants, type TestTenancy } from './helpers/tenancy.ts'

describe('resolveActors', function () {
  this.timeout(60_000)
  let kit: TestTenancy

  before(async () => {
    kit = await testTenancy({
      actors: { tenant: { entity: Person.tenant, label: 'email' }, global: { entity: Person.shared, label: 'email' } },
    })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  for (const slug of ['acme', 'globex'])
    it(`names people of both planes, the deleted too, in ${slug}`, async () => {
      const boss = await kit.asSystem(async () => {
        const manager = controlEm()
        const row = manager.create(Person.shared, { email: 'boss@example.test' })
        await manager.flush()
        return row.id
      })
      await kit.tenancy.run(
        slug,
        async () => {
          const [here, gone] = ['here', 'gone'].map(name => em().create(Person.tenant, { email: `${name}@${slug}.test` }))
          await em().flush()
          await em().remove(gone!).flush()
          const [first, second] = [here!.id, gone!.id]
          const stranger = newId()
          const keys = [
            `tenant:${first}`,
            `tenant:${second}`,
            `tenant:${stranger}`,
            'tenant:ada',
            `global:${boss}`,
            'system:nightly',
            'odd',
          ]
          let labels: ReadonlyMap<string, string> = new Map()
          const sent = await sentDuring(async () => (labels = await kit.tenancy.resolveActors([...keys, ...keys])))
          assert.lengthOf(
            sent.filter(({ text }) => /^select .*person/i.test(text)),
            2,
            `one query for each plane: ${sent.map(({ text }) => text).join('; ')}`,
          )
          assert.deepEqual(Object.fromEntries(labels), {
            [`tenant:${first}`]: `here@${slug}.test`,
            [`tenant:${second}`]: `gone@${slug}.test`,
            [`tenant:${stranger}`]: `tenant:${stranger}`,
            'tenant:ada': 'tenant:ada',
            [`global:${boss}`]: 'boss@example.test',
            'system:nightly': 'nightly',
            odd: 'odd',
          })
        },
        { actor: ada },
      )
      const outside = await kit.tenancy.runAsActor(operator, () => kit.tenancy.resolveActors([`global:${boss}`, `tenant:${boss}`]))
      assert.deepEqual([...outside.values()], ['boss@example.test', `tenant:${boss}`])
    })
})
