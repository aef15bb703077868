/** What happened to a record, beneath its Audit section: closed at first, and loaded when it is opened. Values are text, never markup. */
import React, { useState } from 'react'
import { Button, Text } from '@adminjs/design-system'
import { ApiClient, useTranslation, type BasePropertyProps } from 'adminjs'
import type { HistoryAnswer, HistoryEntry, HistoryValue } from '../history-action.ts'
import { Disclosure } from './Disclosure.tsx'
import { LINE, LINK, SOFT, TEXT } from './colours.ts'

const cell = {
  padding: '4px 12px 4px 0',
  textAlign: 'left',
  verticalAlign: 'top',
  overflowWrap: 'anywhere',
  whiteSpace: 'pre-wrap',
} as const

const Value: React.FC<{ value: HistoryValue }> = ({ value: { kind, text } }) => {
  const { translateComponent } = useTranslation()
  return kind === 'text' ? <>{text}</> : <i style={{ color: SOFT }}>{translateComponent(`History.${kind}`)}</i>
}

const Entry: React.FC<{ entry: HistoryEntry; resourceId: string }> = ({ entry, resourceId }) => {
  const { translateComponent, translateProperty, i18n } = useTranslation()
  const { at, action, actor, changes, count, details } = entry
  const name = (field: string): string => translateProperty(field, resourceId)
  return (
    <li style={{ position: 'relative', padding: '0 0 20px 20px', borderLeft: `2px solid ${LINE}` }} data-testid="history-entry">
      <span
        aria-hidden="true"
        style={{ position: 'absolute', left: -6, top: 4, width: 10, height: 10, borderRadius: 5, background: LINK }}
      />
      <div style={{ display: 'flex', flexWrap: 'wrap', gap: '0 12px', lineHeight: 1.5 }}>
        <b style={{ fontWeight: 700 }}>{translateComponent(`History.actions.${action}`, { defaultValue: action })}</b>
        <span style={{ overflowWrap: 'anywhere' }}>{actor}</span>
        <time dateTime={at} title={at} style={{ color: SOFT }}>
          {new Date(at).toLocaleString(i18n.language)}
        </time>
        {count > 1 ? <span>{translateComponent('History.together', { count })}</span> : null}
      </div>
      {changes.length === 0 ? null : (
        <table style={{ marginTop: 4, fontSize: 14, lineHeight: 1.5, borderCollapse: 'collapse', tableLayout: 'fixed', width: '100%' }}>
          <thead>
            <tr style={{ color: SOFT }}>
              {['field', 'before', 'after'].map(column => (
                <th key={column} scope="col" style={cell}>
                  {translateComponent(`History.${column}`)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {changes.map(({ field, before, after }) => (
              <tr key={field} data-testid="history-change">
                <th scope="row" style={{ ...cell, fontWeight: 700 }}>
                  {name(field)}
                </th>
                <td style={cell}>
                  <Value value={before} />
                </td>
                <td style={cell}>
                  <Value value={after} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {details.length === 0 ? null : (
        <div style={{ marginTop: 4, fontSize: 14, lineHeight: 1.5, overflowWrap: 'anywhere', color: TEXT }}>
          {details.map(({ name: fact, value }) => `${fact}: ${value}`).join(' · ')}
        </div>
      )}
    </li>
  )
}

type State = 'idle' | 'loading' | 'failed'

const History: React.FC<BasePropertyProps> = ({ record, property, resource }) => {
  const { translateComponent } = useTranslation()
  const [isOpen, setOpen] = useState(false)
  const [entries, setEntries] = useState<readonly HistoryEntry[]>([])
  const [cursor, setCursor] = useState<string | null | undefined>(undefined)
  const [state, setState] = useState<State>('idle')
  if (!record?.id) return null
  const { isRecorded } = property.custom as { isRecorded?: boolean }
  const load = async (): Promise<void> => {
    setState('loading')
    try {
      const params = typeof cursor === 'string' ? { cursor } : {}
      const { data } = await new ApiClient().recordAction({ resourceId: resource.id, recordId: record.id, actionName: 'history', params })
      const { entries: more, cursor: next } = data as unknown as Partial<HistoryAnswer>
      // A refusal is an answer with a notice and no entries.
      if (more === undefined || next === undefined) return setState('failed')
      setEntries([...entries, ...more])
      setCursor(next)
      setState('idle')
    } catch {
      setState('failed')
    }
  }
  const toggle = (): void => {
    setOpen(!isOpen)
    if (!isOpen && isRecorded === true && cursor === undefined && state !== 'loading') void load()
  }
  return (
    <Disclosure name="history" title={translateComponent('History.title')} mt="lg" isOpen={isOpen} onToggle={toggle}>
      {isRecorded === true ? null : <Text>{translateComponent('History.unrecorded')}</Text>}
      {cursor === null && entries.length === 0 ? <Text>{translateComponent('History.nothing')}</Text> : null}
      <ol style={{ listStyle: 'none', margin: '0 0 0 6px', padding: 0 }}>
        {entries.map(entry => (
          <Entry key={entry.id} entry={entry} resourceId={resource.id} />
        ))}
      </ol>
      <div role="status">
        {state === 'loading' ? translateComponent('History.loading') : state === 'failed' ? translateComponent('History.failed') : null}
      </div>
      {state === 'failed' || (typeof cursor === 'string' && state === 'idle') ? (
        <Button type="button" size="sm" variant="outlined" onClick={() => void load()}>
          {translateComponent(state === 'failed' ? 'History.again' : 'History.older')}
        </Button>
      ) : null}
    </Disclosure>
  )
}

export default History
