/** Clusters outside their data folder: root's, when the server's user cannot enter the data folder. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, mkdirSync, writeFileSync, chmodSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DataFolder } from './data-folder.ts'
import { EmbeddedInUseError, EmbeddedUnavailableError } from './errors.ts'
import { findPostmaster } from './postmaster.ts'
import { existingOwnFolders, ownFolders, type OsUser } from './reach.ts'
import { readState, type ClusterState } from './state.ts'

/** Beside a cluster, says whose it is. */
interface Marker {
  readonly id: string
  readonly dataDir: string
}

const MARKER_FILE = 'owner.json'
const CLUSTER_NAME = 'cluster'
/**
 * A data folder that is not where it was may have been moved or be on a disk that is not mounted now, so its cluster is
 * kept for a while.
 */
export const KEPT_DAYS = 7

/** Makes a place outside the data folder. Answers where its cluster is to stand. */
export function newPlace(folder: DataFolder, id: string, user: OsUser): string {
  for (const base of ownFolders('lib', user)) {
    const place = join(base, id)
    try {
      mkdirSync(place, { recursive: true })
      // The server's user passes through and owns the cluster in it alone; only root renames or removes it.
      chmodSync(place, 0o711)
      writeMarker(place, { id, dataDir: folder.path })
      return join(place, CLUSTER_NAME)
    } catch {
      // Read-only or full: the next one.
    }
  }
  throw new EmbeddedUnavailableError(
    `The server's user (uid ${user.uid}) can enter neither the data folder ${folder.path} nor any folder of ours.`,
    'Use a data folder whose every parent others may search (mode o+x).',
  )
}

/**
 * Makes sure that the cluster outside belongs to this data folder, and marks it used now.
 * A moved data folder takes its cluster along; a copied one must not share it with the original.
 */
export function claimPlace(folder: DataFolder, state: ClusterState): void {
  const place = dirname(state.cluster)
  const marker = readMarker(place)
  if (marker && marker.dataDir !== folder.path && stillRefers(marker, state.cluster)) {
    throw new EmbeddedInUseError(
      `${folder.path} is a copy of the data folder ${marker.dataDir}, whose cluster stands outside of it and was not copied.`,
      `Remove ${join(folder.path, 'postgres.json')} to start with an empty database here.`,
    )
  }
  if (existsSync(place)) writeMarker(place, { id: state.id, dataDir: folder.path })
}

/** Finds the cluster outside that says it is this data folder's, for when the data folder has forgotten. */
export function findPlace(folder: DataFolder): { readonly id: string; readonly cluster: string } | undefined {
  const mine = places().filter(place => readMarker(place)?.dataDir === folder.path && existsSync(join(place, CLUSTER_NAME, 'PG_VERSION')))
  const [only, ...others] = mine
  const marker = only === undefined ? undefined : readMarker(only)
  return only !== undefined && marker && others.length === 0 ? { id: marker.id, cluster: join(only, CLUSTER_NAME) } : undefined
}

/** Removes clusters whose data folder has been gone for {@link KEPT_DAYS} days, and on which no server runs. Answers how many. */
export function sweepPlaces(): number {
  const old = Date.now() - KEPT_DAYS * 86_400_000
  const abandoned = places().filter(place => {
    const marker = readMarker(place)
    const cluster = join(place, CLUSTER_NAME)
    if (!marker || stillRefers(marker, cluster) || findPostmaster(cluster)) return false
    return statSync(join(place, MARKER_FILE)).mtimeMs < old
  })
  for (const place of abandoned) rmSync(place, { recursive: true, force: true })
  return abandoned.length
}

function stillRefers(marker: Marker, cluster: string): boolean {
  if (!existsSync(marker.dataDir)) return false
  const state = readState({ path: marker.dataDir, owner: { uid: 0, gid: 0 } })
  // A damaged state may have referred to it.
  return state === 'damaged' || (state !== 'missing' && state.id === marker.id && state.cluster === cluster)
}

function places(): string[] {
  return existingOwnFolders('lib').flatMap(base => readdirSync(base).map(name => join(base, name)))
}

function readMarker(place: string): Marker | undefined {
  try {
    const value = JSON.parse(readFileSync(join(place, MARKER_FILE), 'utf8')) as Partial<Marker>
    return typeof value.id === 'string' && typeof value.dataDir === 'string' ? { id: value.id, dataDir: value.dataDir } : undefined
  } catch {
    return undefined
  }
}

function writeMarker(place: string, marker: Marker): void {
  const file = join(place, MARKER_FILE)
  writeFileSync(file, JSON.stringify(marker), { mode: 0o600 })
  const now = new Date()
  utimesSync(file, now, now)
}
