import type { ServerResponse } from 'node:http'
import { currentUnit } from '../context/context.ts'
import { RunAbortedError } from '../errors.ts'

/**
 * Runs the rest of a request inside its run, and aborts the run when the connection is closed before the answer was written.
 *
 * @throws RUN_ABORTED when it is closed already.
 */
export async function whileConnected(response: ServerResponse, next: () => Promise<void>): Promise<void> {
  const unit = currentUnit()!
  if (response.closed && !response.writableFinished) throw new RunAbortedError(unit.tenant.slug)
  const closed = (): void => {
    // It is closed after an answer too, which a handler may have sent before it came to its end.
    if (!response.writableFinished) unit.abort()
  }
  response.once('close', closed)
  try {
    await next()
  } finally {
    response.off('close', closed)
  }
}
