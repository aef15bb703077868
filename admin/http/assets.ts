/** The files of the browser: a fixed list, each read once, compressed once, when it is asked for first, and cached by its hash for ever. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import type { Context } from 'koa'
import { ASSETS } from '../paths.ts'

interface Asset {
  readonly type: string
  readonly version: string
  readonly plain: Buffer
  /** Whether it gets smaller by it. */
  readonly isText: boolean
  /** What was made of it, once for each encoding that a browser asked for. */
  readonly compressed: Map<Encoding, Promise<Buffer>>
}

type Encoding = 'br' | 'gzip'

/** Quality 5 costs 0.1 s for all files, and is as good as gzip's best. */
const COMPRESS: Readonly<Record<Encoding, (plain: Buffer) => Promise<Buffer>>> = {
  br: plain => promisify(brotliCompress)(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }),
  gzip: plain => promisify(gzip)(plain),
}

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  woff: 'font/woff',
  ttf: 'font/ttf',
}
/** The name of the bundle of our components: made by `npm run build:admin`, never at a start. */
export const COMPONENTS = 'components.bundle.js'
/** The name of the application's own. */
export const OWN_COMPONENTS = 'own.bundle.js'

/** The production files, whatever NODE_ENV says: those for development have 26 MB. */
function sources(bundle: string): Readonly<Record<string, string>> {
  const adminjs = dirname(fileURLToPath(import.meta.resolve('adminjs')))
  const files = join(adminjs, 'lib', 'frontend', 'assets')
  const designSystem = join(
    dirname(createRequire(join(adminjs, 'index.js')).resolve('@adminjs/design-system')),
    '..',
    'bundle.production.js',
  )
  return {
    [COMPONENTS]: join(import.meta.dirname, '..', 'bundle', COMPONENTS),
    ...(bundle === '' ? {} : { [OWN_COMPONENTS]: bundle }),
    'app.bundle.js': join(files, 'scripts', 'app-bundle.production.js'),
    'global.bundle.js': join(files, 'scripts', 'global-bundle.production.js'),
    'design-system.bundle.js': designSystem,
    'icomoon.css': join(files, 'styles', 'icomoon.css'),
    'icomoon.svg': join(files, 'fonts', 'icomoon.svg'),
    'icomoon.ttf': join(files, 'fonts', 'icomoon.ttf'),
    'icomoon.woff': join(files, 'fonts', 'icomoon.woff'),
    'logo.svg': join(files, 'images', 'logo.svg'),
    'logo-mini.svg': join(files, 'images', 'logo-mini.svg'),
  }
}

export class Assets {
  readonly #assets: ReadonlyMap<string, Asset>

  private constructor(assets: ReadonlyMap<string, Asset>) {
    this.#assets = assets
  }

  /** Reads all of them; `bundle` is the file of the application's own components, or nothing. */
  static async load(bundle: string): Promise<Assets> {
    const all = Object.entries(sources(bundle)).map(async ([name, path]) => [name, await assetOf(name, path)] as const)
    return new Assets(new Map(await Promise.all(all)))
  }

  /** The version of a file, for its URL. */
  readonly versionOf = (name: string): string => this.#assets.get(name)?.version ?? ''

  /** Whether there are components of the application's own. */
  get hasOwn(): boolean {
    return this.#assets.has(OWN_COMPONENTS)
  }

  /** Answers a request for a file. Answers false when there is none of that name. */
  async serve(ctx: Context, inside: string): Promise<boolean> {
    const asset = inside.startsWith(ASSETS) ? this.#assets.get(inside.slice(ASSETS.length)) : undefined
    if (asset === undefined) return false
    const isCurrent = ctx.query['v'] === asset.version
    ctx.set('Cache-Control', isCurrent ? 'public, max-age=31536000, immutable' : 'no-cache')
    ctx.type = asset.type
    ctx.etag = asset.version
    ctx.status = 200
    if (ctx.fresh) {
      ctx.status = 304
      return true
    }
    ctx.vary('Accept-Encoding')
    const encoding = asset.isText && ctx.acceptsEncodings('br', 'gzip', 'identity')
    if (encoding === 'br' || encoding === 'gzip') {
      ctx.body = await compressed(asset, encoding)
      ctx.set('Content-Encoding', encoding)
    } else ctx.body = asset.plain
    return true
  }
}

async function assetOf(name: string, path: string): Promise<Asset> {
  const plain = await readFile(path)
  const ending = name.slice(name.lastIndexOf('.') + 1)
  return {
    type: TYPES[ending] ?? 'application/octet-stream',
    version: createHash('sha256').update(plain).digest('hex').slice(0, 16),
    plain,
    isText: ['js', 'css', 'svg'].includes(ending),
    compressed: new Map(),
  }
}

function compressed({ plain, compressed: made }: Asset, encoding: Encoding): Promise<Buffer> {
  const known = made.get(encoding) ?? COMPRESS[encoding](plain)
  made.set(encoding, known)
  // One that failed is tried again.
  known.catch(() => made.delete(encoding))
  return known
}
