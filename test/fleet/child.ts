/** A process that migrates a fleet, to be killed: it says when it begins, and what it ended with. */
import { createTenancy, type TenancyOptions } from 'mikro-tenantkit'
import { entities } from '../helpers/tenancy.ts'

interface Task {
  readonly url: string
  readonly keys: string
  readonly prefix: string
  readonly path: string
  readonly run: string | undefined
  readonly concurrency: number
}

process.once('message', (task: Task) => void migrate(task))

async function migrate(task: Task): Promise<void> {
  const options: TenancyOptions = {
    entities,
    database: { url: task.url },
    keys: task.keys,
    naming: { prefix: task.prefix },
    migrations: { path: task.path },
  }
  const tenancy = await createTenancy(options)
  process.send!({ began: true })
  const report = await tenancy.runAsSystem('child', () =>
    task.run === undefined ? tenancy.migrate({ concurrency: task.concurrency }) : tenancy.fleet.resume(task.run),
  )
  await tenancy.close()
  process.send!({ run: report.run }, () => process.disconnect())
}

process.send!({ ready: true })
