import { assert } from 'chai'

/** The error a promise is rejected with; fails when it is fulfilled, or rejected with an error of another class. */
export async function rejects<E extends Error>(promise: Promise<unknown>, kind: new (...given: never[]) => E): Promise<E> {
  const error = await promise.then(
    value => assert.fail(`gave ${String(value)}`),
    (thrown: unknown) => thrown,
  )
  return error instanceof kind ? error : assert.fail(`expected ${kind.name}, and was rejected with ${String(error)}`)
}
