/** A worker thread (or a process) with a tenancy of its own, for `hand-over.test.ts`. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { actorKey, currentContext } from '../../src/context/context.ts'
import { createTenancy, em } from '../../src/index.ts'
import { Tag, entities } from '../helpers/tenancy.ts'

/** What the worker is told at its start. */
export interface WorkerSettings {
  readonly url: string
  readonly keys: string
  readonly prefix: string
  readonly path: string
}

if (!isMainThread) {
  const { url, keys, prefix, path } = workerData as WorkerSettings
  const tenancy = await createTenancy({ entities, database: { url }, keys, naming: { prefix }, migrations: { path } })
  const answer = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      parentPort!.postMessage({ answer: await work() })
    } catch (error) {
      parentPort!.postMessage({ code: (error as { code?: string }).code ?? String(error) })
    }
  }
  const read = async () => ({
    tenant: currentContext()?.tenant?.slug,
    actor: actorKey(),
    requestId: currentContext()?.requestId,
    writes: currentContext()?.actor?.permissions?.has('data:write'),
    labels: (await em().find(Tag, {}, { orderBy: { label: 'asc' } })).map(({ label }) => label),
  })
  parentPort!.on('message', (message: { readonly context?: unknown; readonly bare?: boolean; readonly close?: boolean }) => {
    if (message.close) void tenancy.close().then(() => parentPort!.close())
    else if (message.bare) void answer(async () => em().count(Tag))
    else void answer(() => tenancy.runHandedOver(message.context, read))
  })
}
