/** The public list of `mikro-tenantkit/cli`. Nothing inside imports it. */
export { runCli } from './run-cli.ts'
export type { CliIo } from './output.ts'
export type { ProblemDocument } from './problem.ts'
export type { CliCommand, CliOption } from './commands/own.ts'
export type { RunContext, RunFunction } from './commands/run.ts'
export type { Output } from './output.ts'
export type { Progress } from './progress.ts'
export type { Session } from './session.ts'
