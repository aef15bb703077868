#!/usr/bin/env node
/** The executable `tenantkit`. */
import { processIo, runCli } from './run-cli.ts'

/** How long a handle that something left open may keep the process, in milliseconds. */
const LINGER_MS = 500
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

// What a configuration or a library prints belongs to standard error: standard output holds the result alone.
const io = processIo()
const write = process.stdout.write.bind(process.stdout)
process.stdout.write = process.stderr.write.bind(process.stderr)

const interruption = new AbortController()
for (const [name, code] of Object.entries(SIGNALS)) {
  process.on(name, () => {
    // The second signal does not wait for anything.
    if (interruption.signal.aborted) process.exit(code)
    interruption.abort(code)
  })
}
// A reader that went away (`| head`) is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

process.exitCode = await runCli(process.argv.slice(2), { ...io, stdout: text => void write(text), signal: interruption.signal })
if (interruption.signal.aborted) process.exit()
setTimeout(() => process.exit(), LINGER_MS).unref()
