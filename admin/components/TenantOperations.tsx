/** What is done to a tenant: the newest operation with its steps, asked again for as long as it runs; and what stands beneath the tenant. */
import React, { useEffect, useRef, useState } from 'react'
import { Badge, Box, H5, Loader, Text } from '@adminjs/design-system'
import { ApiClient, ViewHelpers, useTranslation, type BasePropertyProps } from 'adminjs'
import type { TenantOperationJson, TenantProgress } from '../tenant-progress.ts'
import { FAILED, SOFT } from './colours.ts'

const EVERY_MS = 700
const MARKS: Readonly<Record<string, string>> = { pending: '○', running: '◐', succeeded: '✓', failed: '✕', undone: '↶' }
/** The design system's own text is so light that it is hard to read. */
const PLAIN = { fontWeight: 400 } as const
/** AdminJS lays all actions in one line, whatever their number, over the heading and out of the page. */
const WRAPPED = `
[data-css="Tenant-show-action-header"] > :last-child { flex-wrap: wrap }
[data-css="Tenant-show-action-header"] > :last-child > :last-child { flex-shrink: 1; margin-top: 8px }
[data-css="Tenant-show-action-header"] > :last-child > :last-child > * { display: flex; flex-wrap: wrap; row-gap: 8px }`
const VARIANTS: Readonly<Record<string, 'success' | 'danger' | 'info'>> = { running: 'info', succeeded: 'success' }

const Status: React.FC<{ status: string }> = ({ status }) => {
  const { translateComponent } = useTranslation()
  return <Badge variant={VARIANTS[status] ?? 'danger'}>{translateComponent(`Tenants.operations.statuses.${status}`)}</Badge>
}

const When: React.FC<{ at: string }> = ({ at }) => <time dateTime={at}>{new Date(at).toLocaleString()}</time>

/** What it did, or why it did not. */
const Details: React.FC<{ operation: TenantOperationJson }> = ({ operation }) => {
  const { translateComponent } = useTranslation()
  const say = (key: string, options: object = {}): string => translateComponent(`Tenants.operations.${key}`, options)
  const { error, result, status } = operation
  const {
    applied,
    dropped,
    hook_failures: hooks,
  } = result as {
    applied?: readonly string[]
    dropped?: readonly { readonly kind: string; readonly name: string }[]
    hook_failures?: readonly { readonly name: string; readonly message: string }[]
  }
  const lines = [
    status === 'interrupted' ? say('interrupted') : '',
    applied === undefined ? '' : applied.length === 0 ? say('appliedNone') : say('applied', { names: applied.join(', ') }),
    dropped === undefined
      ? ''
      : dropped.length === 0
        ? say('droppedNone')
        : say('dropped', { names: dropped.map(({ kind, name }) => `${kind} ${name}`).join(', ') }),
    ...(hooks ?? []).map(({ name, message }) => say('hookFailed', { name, message })),
  ].filter(line => line !== '')
  return (
    <>
      {error === null ? null : (
        <Box mt="default" p="default" data-testid="operation-error" style={{ borderLeft: `3px solid ${FAILED}`, overflowWrap: 'anywhere' }}>
          <Text style={{ fontFamily: 'monospace' }}>{error.code}</Text>
          <Text style={PLAIN}>{error.message}</Text>
          {error.hint === null ? null : <Text style={PLAIN}>{say('hint', { hint: error.hint })}</Text>}
        </Box>
      )}
      {lines.map(line => (
        <Text key={line} mt="default" style={{ ...PLAIN, overflowWrap: 'anywhere' }}>
          {line}
        </Text>
      ))}
    </>
  )
}

const Newest: React.FC<{ operation: TenantOperationJson }> = ({ operation }) => {
  const { translateComponent } = useTranslation()
  const say = (key: string): string => translateComponent(`Tenants.operations.${key}`)
  const { name, status, steps, started_at } = operation
  return (
    <Box data-testid="operation" role="status" aria-live="polite">
      <Box flex style={{ gap: 12, alignItems: 'center', flexWrap: 'wrap' }}>
        <b>{say(`names.${name}`)}</b>
        <Status status={status} />
        <Text style={PLAIN}>
          <When at={started_at} />
        </Text>
      </Box>
      <ol style={{ listStyle: 'none', margin: '12px 0 0', padding: 0, lineHeight: 1.8, fontSize: 14 }}>
        {steps.map(step => (
          <li key={step.name} data-step={step.name} data-status={step.status}>
            <span aria-hidden style={{ display: 'inline-block', width: 24 }}>
              {MARKS[step.status]}
            </span>
            {say(`steps.${step.name}`)} <span style={{ color: SOFT }}>({say(`statuses.${step.status}`)})</span>
          </li>
        ))}
      </ol>
      <Details operation={operation} />
    </Box>
  )
}

const Beneath: React.FC<{ progress: TenantProgress; tenant: string; isDatabase: boolean }> = ({ progress, tenant, isDatabase }) => {
  const { translateComponent } = useTranslation()
  const say = (key: string): string => translateComponent(`Tenants.${key}`)
  const helpers = new ViewHelpers()
  return (
    <Box mt="lg" flex style={{ gap: 24, flexWrap: 'wrap', fontSize: 14 }} data-testid="beneath">
      {Object.entries(progress.parts).map(([resourceId, count]) => (
        <a key={resourceId} href={`${helpers.resourceUrl({ resourceId })}?filters.tenant=${encodeURIComponent(tenant)}`}>
          {say(`parts.${resourceId}`)} ({count})
        </a>
      ))}
      {isDatabase
        ? Object.entries(progress.secrets).map(([name, isSet]) => (
            <span key={name}>
              {say(`secrets.${name}`)}: <b>{say(`secrets.${isSet ? 'set' : 'unset'}`)}</b>
            </span>
          ))
        : null}
    </Box>
  )
}

const TenantOperations: React.FC<BasePropertyProps> = ({ record, resource }) => {
  const [progress, setProgress] = useState<TenantProgress | null>(null)
  const [isLost, setLost] = useState(false)
  const hasRun = useRef(false)
  const { translateComponent } = useTranslation()
  const id = record?.id ?? ''
  const known = record?.params['status'] as string | undefined
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    let isGone = false
    const ask = async (): Promise<void> => {
      try {
        const { data } = await new ApiClient().recordAction({ resourceId: resource.id, recordId: id, actionName: 'operations' })
        if (isGone) return
        const now = (data as unknown as { progress: TenantProgress }).progress
        setProgress(now)
        const isRunning = now.operations[0]?.status === 'running'
        // What the page offers follows from the status, which is another one now; it may have changed before it was asked for the first time.
        const isOther = known !== undefined && known !== now.status
        if (!isRunning && (hasRun.current || isOther)) return window.location.reload()
        hasRun.current = isRunning
        if (isRunning) timer = setTimeout(() => void ask(), EVERY_MS)
      } catch {
        if (!isGone) setLost(true)
      }
    }
    void ask()
    return () => {
      isGone = true
      clearTimeout(timer)
    }
  }, [id, known])
  const say = (key: string): string => translateComponent(`Tenants.operations.${key}`)
  const [newest, ...earlier] = progress?.operations ?? []
  return (
    <Box mb="xl" p="lg" border="default" width={1} data-testid="operations">
      <style>{WRAPPED}</style>
      <H5 as="h2" style={{ margin: '0 0 12px', fontWeight: 700 }}>
        {say('title')}
      </H5>
      {isLost ? <Text role="alert">{say('failed')}</Text> : null}
      {progress === null && !isLost ? <Loader /> : null}
      {progress !== null && newest === undefined ? <Text style={PLAIN}>{say('none')}</Text> : null}
      {newest === undefined ? null : <Newest operation={newest} />}
      {earlier.length === 0 ? null : (
        <details style={{ marginTop: 16, fontSize: 14 }}>
          <summary style={{ cursor: 'pointer' }}>
            {say('earlier')} ({earlier.length})
          </summary>
          {earlier.map(operation => (
            <Box key={operation.id} mt="default">
              {say(`names.${operation.name}`)} <Status status={operation.status} /> <When at={operation.started_at} />
              <Details operation={operation} />
            </Box>
          ))}
        </details>
      )}
      {progress === null ? null : <Beneath progress={progress} tenant={id} isDatabase={record?.params['isolationMode'] === 'database'} />}
    </Box>
  )
}

export default TenantOperations
