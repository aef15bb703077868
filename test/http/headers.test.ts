import { assert } from 'chai'
import { headerValues } from '../../src/http/headers.ts'

describe('the headers of a request', () => {
  const rawHeaders = ['Host', 'a.test', 'X-Tenant', 'acme', 'x-tenant', 'globex', 'X-Empty', '', 'tenant-x', 'X-Tenant']

  it('are found in any case, each value on its own and in order', () => {
    assert.deepEqual(headerValues({ rawHeaders }, 'x-tenant'), ['acme', 'globex'])
    assert.deepEqual(headerValues({ rawHeaders }, 'host'), ['a.test'])
  })

  it('tell an empty one from one that is not there', () => {
    assert.deepEqual(headerValues({ rawHeaders }, 'x-empty'), [''])
    assert.isUndefined(headerValues({ rawHeaders }, 'authorization'))
  })

  it('are not looked for among the values', () => {
    assert.isUndefined(headerValues({ rawHeaders: ['a', 'x-tenant', 'b', 'acme'] }, 'x-tenant'))
  })
})
