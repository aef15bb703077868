/** The public list of `mikro-tenantkit/cli`. Nothing inside imports it. */
export { runCli } from './run-cli.ts'
export type { CliIo } from './output.ts'
export type { ProblemDocument } from './problem.ts'
