/** The headers of a request as they were sent: Node joins some that are repeated, and `headersDistinct` builds all of them to give one. */
import type { IncomingMessage } from 'node:http'

/**
 * All values of a header, in order, or `undefined` when it is not there.
 *
 * @param name In lower case.
 * @example headerValues(ctx.req, 'authorization')
 */
export function headerValues({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>, name: string): readonly string[] | undefined {
  let values: string[] | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const header = rawHeaders[index]!
    if (header.length !== name.length || header.toLowerCase() !== name) continue
    if (values === undefined) values = [rawHeaders[index + 1]!]
    else values.push(rawHeaders[index + 1]!)
  }
  return values
}
