/** Makes one file for the browser of an application's own components, in its build. The panel serves it, and bundles nothing at a start. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { Worker, isMainThread, workerData } from 'node:worker_threads'
import { ConfigurationError } from '../src/errors.ts'

/** What `bundleComponents` takes. */
export interface BundleOptions {
  /** Files of components by name: `.tsx`, `.ts`, `.jsx` or `.js`, each with a default export; relative to the working directory. */
  readonly components: Readonly<Record<string, string>>
  /** The file that is written. */
  readonly to: string
}

interface Task {
  readonly entry: string
}

/** Tells this thread from one of the application's. */
const TASK = 'mikro-tenantkit.bundle'
/** Not as a literal: it has no types, and who compiles these sources would miss them. */
const BUNDLER: string = 'adminjs/bundler'
const NAME = /^[A-Z][A-Za-z0-9]{0,62}$/

/**
 * Bundles an application's own components for the panel's option `bundle`. `react`, `adminjs` and `@adminjs/design-system` are taken from the
 * panel's files.
 *
 * @throws CONFIGURATION_INVALID for a name that is no component's; what the bundler says of the sources
 * @example await bundleComponents({ components: { Revenue: 'back-office/revenue.tsx' }, to: 'build/back-office.js' })
 */
export async function bundleComponents({ components, to }: BundleOptions): Promise<void> {
  const wrong = Object.keys(components).filter(name => !NAME.test(name))
  if (wrong.length > 0 || Object.keys(components).length === 0)
    throw new ConfigurationError([`A component cannot be named ${wrong.join(', ') || 'by nothing'}.`], `Name each by ${NAME.source}.`)
  const folder = await mkdtemp(join(tmpdir(), 'tenantkit-components-'))
  try {
    const lines = Object.entries(components).map(([name, file]) => {
      const path = relative(folder, resolve(file)).replaceAll('\\', '/')
      return `import ${name} from ${JSON.stringify(path)}\nAdminJS.UserComponents.${name} = ${name}`
    })
    // AdminJS reads its settings from the environment when it is imported; a thread has an environment of its own.
    const env = { ...process.env, NODE_ENV: 'production', ADMIN_JS_TMP_DIR: folder }
    await finished(new Worker(new URL(import.meta.url), { env, workerData: { [TASK]: { entry: lines.join('\n') } satisfies Task } }))
    const made = await readFile(join(folder, 'bundle.js'), 'utf8')
    await mkdir(dirname(resolve(to)), { recursive: true })
    await writeFile(to, made)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function finished(worker: Worker): Promise<void> {
  return new Promise((done, failed) => {
    worker.once('error', failed)
    worker.once('exit', code => (code === 0 ? done() : failed(new Error(`The bundler ended with ${code}.`))))
  })
}

const task = isMainThread ? undefined : (workerData as Readonly<Record<string, Task>> | null)?.[TASK]
if (task !== undefined) {
  const { componentsBundler } = (await import(BUNDLER)) as unknown as {
    componentsBundler: { createEntry(entry: { content: string }): Promise<void>; build(): Promise<unknown> }
  }
  await componentsBundler.createEntry({ content: task.entry })
  await componentsBundler.build()
}
