/** The command line `tenantkit`: reads the arguments, runs the command that they name, and answers the exit code. */
import { setTimeout } from 'node:timers/promises'
import yargs, { type Argv } from 'yargs'
import { check } from './commands/check.ts'
import type { Work } from './commands/command.ts'
import { doctor } from './commands/doctor.ts'
import { drift } from './commands/drift.ts'
import { entities } from './commands/entities.ts'
import { history } from './commands/history.ts'
import { keys } from './commands/keys.ts'
import { migrateCreate } from './commands/migrate-create.ts'
import { migrateDown } from './commands/migrate-down.ts'
import { migrateResume } from './commands/migrate-resume.ts'
import { migrateStatus } from './commands/migrate-status.ts'
import { migrate } from './commands/migrate.ts'
import { registerOf, type CliCommand } from './commands/own.ts'
import { runFile } from './commands/run.ts'
import { tenants } from './commands/tenants.ts'
import { usage } from './commands/usage.ts'
import { Output, type CliIo } from './output.ts'
import { InterruptedError, WrongUsageError, printProblem } from './problem.ts'
import { Session } from './session.ts'
import { isWatched, wantsColour } from './terminal.ts'
import { usageProblem, type UsageProblem } from './usage.ts'

const COMMANDS = [
  check,
  doctor,
  drift,
  entities,
  tenants,
  migrate,
  migrateCreate,
  migrateStatus,
  migrateResume,
  migrateDown,
  runFile,
  history,
  usage,
  keys,
]
const EXIT = Object.freeze({ done: 0, failed: 1, usage: 2 })
const WIDEST = 120
/** How long closing may take after an interruption, in milliseconds. */
const CLOSE_WITHIN_MS = 10_000

interface Call {
  readonly json: boolean
  readonly config: string | undefined
  readonly work: Work | undefined
  /** What yargs wrote: the usage text, or the version. */
  readonly text: string
  readonly problem: UsageProblem | undefined
}

/**
 * Runs one command and answers its exit code: 0 done, 1 failed, 2 wrong usage, or what the signal's reason says. It never throws, and
 * everything it opened is closed.
 *
 * @param io Where it reads and writes. Default: this process.
 * @param own Commands beside the framework's.
 * @example
 * process.exitCode = await runCli(['tenants', 'list', '--json'])
 */
export async function runCli(argv: readonly string[], io: CliIo = processIo(), own: readonly CliCommand[] = []): Promise<number> {
  const call = parse(argv, io, own)
  const output = new Output(io, call.json)
  const debug = Boolean(io.env['TENANTKIT_DEBUG'])
  if (call.problem !== undefined) {
    if (!call.json) output.say(`${call.text}\n`)
    printProblem(output, new WrongUsageError(call.problem.message, { hint: call.problem.hint }), debug)
    return EXIT.usage
  }
  if (call.work === undefined) {
    output.result({ usage: call.text }, () => [call.text])
    return EXIT.done
  }
  const session = new Session(io, output, call.config)
  const outcome = await settled(call.work, session, io.signal)
  const closing = await closed(session, io.signal)
  const failure = outcome ?? closing
  output.close()
  if (failure !== undefined) printProblem(output, failure.error, debug)
  if (failure?.error instanceof InterruptedError) return Number(io.signal?.reason)
  if (failure?.error instanceof WrongUsageError) return EXIT.usage
  return failure === undefined ? EXIT.done : EXIT.failed
}

/** This process, as a command line sees it. */
export function processIo(): CliIo {
  const { stdout, stderr, env } = process
  return {
    stdout: text => void stdout.write(text),
    stderr: text => void stderr.write(text),
    env,
    cwd: process.cwd(),
    colour: wantsColour(stdout, env),
    errorColour: wantsColour(stderr, env),
    columns: (stdout.isTTY ? stdout.columns : stderr.columns) || 100,
    watched: isWatched(stderr, env),
  }
}

type Failure = { readonly error: unknown }

async function settled(work: Work, session: Session, signal: AbortSignal | undefined): Promise<Failure | undefined> {
  if (signal?.aborted) return { error: new InterruptedError() }
  let interrupt = (): void => undefined
  const interrupted = new Promise<Failure>(resolve => {
    interrupt = () => resolve({ error: new InterruptedError() })
  })
  signal?.addEventListener('abort', interrupt, { once: true })
  // A command that throws at once fails like any other.
  const running = (async () => work(session))().then(
    () => undefined,
    (error: unknown): Failure => ({ error }),
  )
  try {
    return await Promise.race([running, interrupted])
  } finally {
    signal?.removeEventListener('abort', interrupt)
  }
}

async function closed(session: Session, signal: AbortSignal | undefined): Promise<Failure | undefined> {
  const closing = session.close().then(
    () => undefined,
    (error: unknown): Failure => ({ error }),
  )
  if (!signal?.aborted) return closing
  const limit = new AbortController()
  try {
    return await Promise.race([closing, setTimeout(CLOSE_WITHIN_MS, undefined, { signal: limit.signal }).catch(() => undefined)])
  } finally {
    limit.abort()
  }
}

/** Reads the arguments; no command runs yet, so that a wrong usage has no effect. */
function parse(argv: readonly string[], io: CliIo, own: readonly CliCommand[]): Call {
  let work: Work | undefined
  let problem: string | undefined
  let text = ''
  let help = ''
  const end = argv.indexOf('--')
  const json = argv.slice(0, end < 0 ? undefined : end).some(each => each === '--json' || each === '--json=true')
  const program = commandLine(io)
  for (const register of [...COMMANDS, ...own.map(registerOf)]) register(program, chosen => void (work = chosen))
  program.fail((message, error, command) => {
    problem ??= message || (error as Error | undefined)?.message || 'Wrong usage.'
    command.showHelp(written => void (help = written))
  })
  let config: string | undefined
  try {
    void program.parse([...argv], {}, (_error, parsed, written) => {
      config = parsed['config'] as string | undefined
      text = written
    })
  } catch (error) {
    problem ??= (error as Error).message
  }
  if (problem !== undefined) return { json, config, work: undefined, text: help, problem: usageProblem(problem, argv, help) }
  return { json, config, work: text === '' ? work : undefined, text, problem }
}

function commandLine(io: CliIo): Argv {
  return yargs()
    .scriptName('tenantkit')
    .locale('en')
    .parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': false, 'parse-positional-numbers': false })
    .usage('$0 <command>\n\nManages the tenants of a project: it reads the nearest mikro-orm.config.ts.')
    .option('json', { type: 'boolean', default: false, global: true, describe: 'One JSON document on standard output, on failure too' })
    .option('config', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: 'The configuration, if it is not the nearest mikro-orm.config.ts',
    })
    .epilogue('Exit codes: 0 done, 1 failed, 2 wrong usage.')
    .demandCommand(1, 'Name a command.')
    .strict()
    .version(false)
    .help()
    .exitProcess(false)
    .wrap(Math.min(WIDEST, io.columns))
}
