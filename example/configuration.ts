/** What the environment says. An empty variable counts as not set. */
import { randomBytes } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigurationError, generateKey } from 'mikro-tenantkit'

/** The secrets of the application. */
export interface Secrets {
  readonly encryptionKeys: string
  readonly jwtSecret: string
  readonly adminPassword: string | undefined
  readonly demoPassword: string | undefined
}

/** All that can be configured. */
export interface Configuration extends Secrets {
  readonly isProduction: boolean
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly databaseUrl: string | undefined
  readonly directUrl: string | undefined
  readonly adminEmail: string
  readonly trustProxy: boolean
  /** The file where generated secrets are kept, if any was generated. */
  readonly secretsFile: string | undefined
}

const NO_KEYS = 'TENANTKIT_ENCRYPTION_KEYS is not set: make one with `npx tenantkit keys generate`.'
const NOT_GENERATED = 'In production no secret is generated.'

type Environment = Readonly<Record<string, string | undefined>>
type Stored = { encryptionKeys?: string; jwtSecret?: string; adminPassword?: string; demoPassword?: string }

let known: Configuration | undefined

/** Where the data is. It needs no secret, so that every command can ask. */
export function places(env: Environment = process.env): Pick<Configuration, 'dataDir' | 'databaseUrl' | 'directUrl'> {
  const value = reader(env)
  return { dataDir: value('TENANTKIT_DATA_DIR') ?? '.data', databaseUrl: value('DATABASE_URL'), directUrl: value('DATABASE_DIRECT_URL') }
}

/** The key ring alone: what the command line needs. @throws CONFIGURATION_INVALID in production, when none is set */
export function encryptionKeys(env: Environment = process.env): string {
  const value = reader(env)
  const given = value('TENANTKIT_ENCRYPTION_KEYS')
  if (given !== undefined) return given
  if (isProductionIn(env)) throw new ConfigurationError([NO_KEYS], NOT_GENERATED)
  return storedSecrets(places(env).dataDir).encryptionKeys
}

/** The configuration of this process, read once. @throws CONFIGURATION_INVALID listing all that is missing or odd */
export function configuration(): Configuration {
  return (known ??= readConfiguration(process.env))
}

/** Reads the configuration; in development it makes what secrets are missing, and keeps them. */
export function readConfiguration(env: Environment): Configuration {
  const value = reader(env)
  const isProduction = isProductionIn(env)
  const { dataDir, databaseUrl, directUrl } = places(env)
  const problems: string[] = []
  const port = Number(value('PORT') ?? '3000')
  if (!Number.isInteger(port) || port < 0 || port > 65_535) problems.push('PORT must be a whole number from 0 to 65535.')
  const given = {
    encryptionKeys: value('TENANTKIT_ENCRYPTION_KEYS'),
    jwtSecret: value('TENANTKIT_JWT_SECRET'),
    adminPassword: value('TENANTKIT_ADMIN_PASSWORD'),
    demoPassword: value('TENANTKIT_DEMO_PASSWORD'),
  }
  if (isProduction && given.encryptionKeys === undefined) problems.push(NO_KEYS)
  if (isProduction && given.jwtSecret === undefined)
    problems.push('TENANTKIT_JWT_SECRET is not set: make one with `openssl rand -base64 48`.')
  if (problems.length > 0) throw new ConfigurationError(problems, isProduction ? NOT_GENERATED : 'Correct the environment.')
  const isMissing = !isProduction && Object.values(given).includes(undefined)
  const secrets = isMissing ? { ...storedSecrets(dataDir), ...present(given) } : given
  return Object.freeze({
    isProduction,
    host: value('HOST') ?? '127.0.0.1',
    port,
    dataDir,
    databaseUrl,
    directUrl,
    adminEmail: (value('TENANTKIT_ADMIN_EMAIL') ?? 'operator@example.test').toLowerCase(),
    trustProxy: ['1', 'true', 'yes'].includes((value('TENANTKIT_TRUST_PROXY') ?? '').toLowerCase()),
    encryptionKeys: secrets.encryptionKeys ?? '',
    jwtSecret: secrets.jwtSecret ?? '',
    adminPassword: secrets.adminPassword,
    demoPassword: secrets.demoPassword,
    secretsFile: isMissing ? join(dataDir, 'secrets.json') : undefined,
  })
}

function reader(env: Environment): (name: string) => string | undefined {
  return name => env[name]?.trim() || undefined
}

function isProductionIn(env: Environment): boolean {
  return reader(env)('NODE_ENV') === 'production'
}

/** The secrets in the data folder; those that are missing are made and written, for the owner alone to read. */
function storedSecrets(dataDir: string): Required<Stored> {
  mkdirSync(dataDir, { recursive: true })
  const file = join(dataDir, 'secrets.json')
  const before = readStored(file)
  const all = { ...freshSecrets(), ...before }
  if (before !== undefined && Object.keys(all).every(name => Object.hasOwn(before, name))) {
    chmodSync(file, 0o600)
    return all
  }
  const draft = `${file}.${process.pid}.tmp`
  writeFileSync(draft, `${JSON.stringify(all, undefined, 2)}\n`, { mode: 0o600 })
  try {
    if (before === undefined) linkSync(draft, file)
    else renameSync(draft, file)
  } catch (error) {
    // Another process was faster: its secrets count.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return { ...all, ...readStored(file) }
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
  return all
}

function readStored(file: string): Stored | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return present(JSON.parse(text) as Stored)
  } catch {
    throw new ConfigurationError([`${file} holds no JSON.`], 'Restore it: without its key, stored connection strings cannot be read.')
  }
}

function freshSecrets(): Required<Stored> {
  const password = (): string => randomBytes(12).toString('base64url')
  return {
    encryptionKeys: generateKey(),
    jwtSecret: randomBytes(48).toString('base64url'),
    adminPassword: password(),
    demoPassword: password(),
  }
}

function present(values: Readonly<Record<string, string | undefined>>): Stored {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => typeof value === 'string' && value !== ''))
}
