/** A page of the application's own, drawn from what its server side gives: text, figures, tables and links. Nothing of it is HTML. */
import React, { useEffect, useState } from 'react'
import { Box, H2, Text } from '@adminjs/design-system'
import { ApiClient, useTranslation } from 'adminjs'
import type { AdminPageBlock } from '../pages.ts'
import { Figures } from './OwnCards.tsx'
import { LINE, LINK } from './colours.ts'

type State = readonly AdminPageBlock[] | 'loading' | 'failed'

const cell = {
  textAlign: 'left',
  padding: '10px 16px 10px 0',
  borderBottom: `1px solid ${LINE}`,
  overflowWrap: 'anywhere',
  lineHeight: 1.4,
} as const

const Block: React.FC<{ block: AdminPageBlock }> = ({ block }) => {
  const { translateMessage } = useTranslation()
  if ('heading' in block)
    return <h3 style={{ fontSize: 18, lineHeight: 1.4, fontWeight: 700, margin: '24px 0 8px' }}>{translateMessage(block.heading)}</h3>
  if ('text' in block) return <Text style={{ margin: '0 0 12px', maxWidth: 720, fontWeight: 400 }}>{translateMessage(block.text)}</Text>
  if ('figures' in block) return <Figures figures={block.figures} />
  if ('link' in block) {
    // Only into this application: a link of another kind could run a script.
    const href = /^\/(?!\/)/.test(block.href) ? block.href : '#'
    return (
      <p style={{ margin: '0 0 12px' }}>
        <a href={href} style={{ color: LINK }}>
          {translateMessage(block.link)}
        </a>
      </p>
    )
  }
  return (
    <div style={{ overflowX: 'auto' }} role="region" aria-label={block.columns.join(', ')} tabIndex={0}>
      <table style={{ width: '100%', borderCollapse: 'collapse', margin: '0 0 16px' }}>
        <thead>
          <tr>
            {block.columns.map(column => (
              <th key={column} scope="col" style={{ ...cell, fontWeight: 700 }}>
                {translateMessage(column)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {block.rows.map((row, at) => (
            <tr key={at}>
              {row.map((value, column) => (
                <td key={column} style={cell}>
                  {value === null ? '–' : String(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const OwnPage: React.FC = () => {
  const { translateComponent, translatePage } = useTranslation()
  const [state, setState] = useState<State>('loading')
  const name = /\/pages\/([^/]+)/.exec(window.location.pathname)?.[1] ?? ''
  useEffect(() => {
    let isCurrent = true
    setState('loading')
    new ApiClient().getPage<{ blocks: readonly AdminPageBlock[] }>({ pageName: name }).then(
      ({ data }) => isCurrent && setState(data.blocks),
      () => isCurrent && setState('failed'),
    )
    return () => {
      isCurrent = false
    }
  }, [name])
  return (
    <Box p="xl" data-testid="own-page">
      <Box variant="white" p="xl">
        <H2 mb="lg">{translatePage(name)}</H2>
        {typeof state === 'string' ? (
          <p role="status">{translateComponent(`OwnPage.${state}`)}</p>
        ) : (
          state.map((block, at) => <Block key={at} block={block} />)
        )}
      </Box>
    </Box>
  )
}

export default OwnPage
