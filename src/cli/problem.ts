/** What a command says when it fails: the same problem document that the HTTP interface answers with. */
import { TenancyError, type FieldError } from '../errors.ts'
import type { Output } from './output.ts'

const CONNECTION = 'Is the database running, and is DATABASE_URL right?'
const LOG_IN = 'The database refused the log-in: check DATABASE_URL.'
const TABLES = 'The tables are missing or old: run `tenantkit migrate`.'
/** What helps against errors of the system and of PostgreSQL, by their codes. */
const HINTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: CONNECTION,
  ENOTFOUND: CONNECTION,
  ETIMEDOUT: CONNECTION,
  '3D000': CONNECTION,
  '28P01': LOG_IN,
  '28000': LOG_IN,
  '42P01': TABLES,
  '42703': TABLES,
}

/** The problem document (RFC 9457) of a failure. */
export interface ProblemDocument {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly hint?: string
  readonly details?: Readonly<Record<string, unknown>>
  readonly errors?: readonly FieldError[]
}

/** A command was called in a way it does not take: exit code 2. */
export class WrongUsageError extends TenancyError {
  readonly code = 'WRONG_USAGE'
  readonly status = 400
}

/** A command ran to its end, and what it found or did is a failure: exit code 1. */
export class CommandFailedError extends TenancyError {
  readonly code: string
  readonly status = 500
  /** What a human is shown in place of the message; the result was printed, so that nothing is said twice. */
  readonly lines: readonly string[]
  constructor(code: string, message: string, hint: string, details: Readonly<Record<string, unknown>>, lines: readonly string[]) {
    super(message, { hint, details })
    this.code = code
    this.lines = lines
  }
}

/** The command was ended by a signal. */
export class InterruptedError extends TenancyError {
  readonly code = 'INTERRUPTED'
  readonly status = 503
  constructor() {
    super('The command was interrupted.', {
      hint: 'What it had begun may be half done: `tenantkit tenants list` shows the state of each tenant.',
    })
  }
}

/** The document of any error. What is not an error of this framework says its message: the operator is at the keyboard. */
export function problemOf(error: unknown): ProblemDocument {
  if (!(error instanceof TenancyError))
    return { ...head('INTERNAL'), status: 500, detail: withoutSecrets(messageOf(error)), code: 'INTERNAL', hint: hintOf(error) }
  const { code, status, hint, details, errors } = error
  return {
    ...head(code),
    status,
    detail: withoutSecrets(error.message),
    code,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
    ...(errors === undefined ? {} : { errors }),
  }
}

/** Prints a failure: the document on standard output with `--json`, else lines on standard error. */
export function printProblem(output: Output, error: unknown, debug: boolean): void {
  const problem = problemOf(error)
  if (output.json) output.result(problem, () => [])
  if (output.json && !debug) return
  if (!output.json && error instanceof CommandFailedError) output.result(undefined, () => error.lines)
  if (!output.json) {
    output.say(`${output.paintError('red', 'error')}: ${problem.detail} ${output.paintError('dim', `[${problem.code}]`)}`)
    for (const each of problem.errors ?? []) if (problem.errors!.length > 1) output.say(`  ${each.path}: ${each.message}`)
    if (problem.hint !== undefined) output.say(`${output.paintError('cyan', 'hint')}: ${problem.hint}`)
  }
  if (debug && error instanceof Error) output.say(withoutSecrets(traceOf(error)))
}

function head(code: string): { type: string; title: string } {
  const words = code.toLowerCase().replaceAll('_', ' ')
  return { type: `urn:mikro-tenantkit:problem:${words.replaceAll(' ', '-')}`, title: words.charAt(0).toUpperCase() + words.slice(1) }
}

/** The ORM repeats the statement and its values in its own message; the innermost error says only what is wrong. */
function innermost(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? innermost(error.cause) : error
}

/** Several tries to connect end in one error without a message of its own. */
function messageOf(error: unknown): string {
  const inner = innermost(error)
  if (inner instanceof AggregateError && inner.message === '') return inner.errors.map(messageOf).join('; ')
  return inner instanceof Error ? inner.message || inner.name : String(inner)
}

function hintOf(error: unknown): string {
  const code = String((innermost(error) as { code?: unknown } | undefined)?.code)
  return HINTS[code] ?? 'Set TENANTKIT_DEBUG=1 to see where it happened.'
}

/** Names and places, without the messages on the way: they may hold the values of a statement. */
function traceOf(error: Error): string {
  const places = (error.stack ?? '').split('\n').filter(line => /^ +at /.test(line))
  const cause = error.cause instanceof Error ? [`caused by ${traceOf(error.cause)}`] : [messageOf(error)]
  return [error.name, ...places, ...cause].join('\n')
}

/** The password of a URL never reaches a terminal, whoever wrote it into a message. */
function withoutSecrets(text: string): string {
  return text.replace(/\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s@]+@/gi, '$1:***@')
}
