/**
 * A process that uses the embedded server, for tests that kill it. Its argument is the options as JSON; its orders come by
 * standard input.
 */
import { createInterface } from 'node:readline'
import { startEmbedded, type EmbeddedOptions } from '../../src/embedded/start-embedded.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as EmbeddedOptions
try {
  const server = await startEmbedded(options)
  process.stdout.write(`${JSON.stringify({ url: server.url, attached: server.attached })}\n`)
  const orders = createInterface({ input: process.stdin })
  // The test was killed.
  orders.on('close', () => process.exit(1))
  orders.on('line', line => {
    if (line === 'throw') throw new Error('an error nobody catches')
    if (line === 'exit') process.exit(0)
    if (line === 'stop') void server.stop().then(() => process.exit(0))
  })
} catch (error) {
  const { code, message, hint } = error as { code?: string; message: string; hint?: string }
  process.stdout.write(`${JSON.stringify({ code, message, hint })}\n`)
}
