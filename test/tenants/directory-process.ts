/** Another process with a tenancy, for `directory-processes.test.ts`: it answers look-ups, or looks up once and ends. */
import { createHash } from 'node:crypto'
import { createTenancy, type TenancyOptions } from 'mikro-tenantkit'
import { entities } from '../helpers/tenancy.ts'

/** What the process is started with, as JSON. */
export interface ProcessTask {
  readonly options: Omit<TenancyOptions, 'entities'>
  /** `serve` answers {@link Question}s until it is disconnected; the others look `acme` up and end. */
  readonly task: 'serve' | 'look up' | 'look up and listen' | 'look up, listen and close'
}

export interface Question {
  readonly id: number
  /** Looks a tenant up. */
  readonly slug?: string
  /** Runs an operation on it. */
  readonly operation?: string
}

export interface Answer {
  readonly id: number
  readonly status?: string | undefined
  readonly name?: string | undefined
  readonly schemaVersion?: string | undefined
  /** A digest of the sealed connection string. */
  readonly connection?: string | undefined
  readonly directory: { hits: number; misses: number; entries: number; unknown: number; listening: boolean }
}

const { options, task } = JSON.parse(process.argv[2]!) as ProcessTask
const tenancy = await createTenancy({ ...options, entities })

if (task === 'serve') {
  process.on('message', (question: Question) => void answer(question))
  process.once('disconnect', () => void tenancy.close())
  process.send!({ id: 0 })
} else {
  const found = await tenancy.find('acme')
  if (task !== 'look up') while (!tenancy.stats().directory.listening) await new Promise(resolve => setTimeout(resolve, 5))
  if (task === 'look up, listen and close') await tenancy.close()
  process.stdout.write(`${found?.status}\n`)
}

async function answer({ id, slug, operation }: Question): Promise<void> {
  if (operation !== undefined) await tenancy.runAsSystem('other', () => tenancy.operate(slug!, operation))
  const found = slug === undefined ? undefined : await tenancy.find(slug)
  const reply: Answer = {
    id,
    status: found?.status,
    name: found?.ref.name,
    schemaVersion: found?.schemaVersion,
    connection: found?.connectionString && createHash('sha256').update(found.connectionString).digest('hex'),
    directory: tenancy.stats().directory,
  }
  process.send!(reply)
}
