/**
 * Runs the long tests, one after the other, on a PostgreSQL 18 of their own: everything that ends in `.soak.test.ts`. With arguments, those
 * files. With DATABASE_URL set, on that server.
 */
import { runMocha, testFiles } from './mocha.ts'

const TIMEOUT_MS = 3_600_000

const given = process.argv.slice(2)
const files = testFiles(given.length > 0 ? given : ['test/**/*.soak.test.ts'])
process.exitCode = await runMocha(files, { options: ['--timeout', String(TIMEOUT_MS)] })
