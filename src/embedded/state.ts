/** What is remembered of a cluster between starts: `postgres.json` in the data folder, readable by its owner only. */
import { randomBytes, randomUUID } from 'node:crypto'
import { isAbsolute } from 'node:path'
import { fileIn, readIfThere, writePrivate, type DataFolder } from './data-folder.ts'

/** The remembered facts. */
export interface ClusterState {
  /** Ties a cluster outside the data folder to it. */
  readonly id: string
  readonly password: string
  /** Where the cluster stands: a name in the data folder, or an absolute path outside. */
  readonly cluster: string
  /** The version of the package that last started it. */
  readonly version: string
  /** The port of the last start, taken again when it is free. */
  readonly port?: number
}

/** In the data folder, where the server's user can reach it. */
export const CLUSTER_IN_PLACE = 'postgres'
const STATE_FILE = 'postgres.json'

/** Reads the state: `missing` on a new data folder, `damaged` when it says nothing usable. */
export function readState(folder: DataFolder): ClusterState | 'missing' | 'damaged' {
  const text = readIfThere(fileIn(folder, STATE_FILE))
  if (text === undefined) return 'missing'
  try {
    return parse(JSON.parse(text)) ?? 'damaged'
  } catch {
    return 'damaged'
  }
}

/** Writes the state, whole or not at all. */
export function writeState(folder: DataFolder, state: ClusterState): void {
  writePrivate(folder, STATE_FILE, `${JSON.stringify(state, null, 2)}\n`)
}

/** A state for a cluster that has none: a new id and a new password of 32 random bytes. */
export function newState(version: string): ClusterState {
  return { id: randomUUID(), password: randomBytes(32).toString('base64url'), cluster: CLUSTER_IN_PLACE, version }
}

function parse(value: unknown): ClusterState | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { id, password, cluster, version, port } = value as Record<string, unknown>
  if (typeof id !== 'string' || !/^[0-9a-f-]{36}$/.test(id)) return undefined
  if (typeof password !== 'string' || password.length < 32) return undefined
  if (typeof cluster !== 'string' || (cluster !== CLUSTER_IN_PLACE && !isAbsolute(cluster))) return undefined
  const usablePort = typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65_536
  return { id, password, cluster, version: typeof version === 'string' ? version : '', ...(usablePort ? { port } : {}) }
}
