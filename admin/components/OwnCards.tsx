/** Figures side by side: those of a page, and the application's own cards on the first page. */
import React from 'react'
import { useTranslation } from 'adminjs'
import type { CardFigure } from '../pages.ts'

export const Figures: React.FC<{ figures: readonly { readonly label: string; readonly value: string | number }[] }> = ({ figures }) => {
  const { translateMessage, i18n } = useTranslation()
  return (
    <dl style={{ display: 'grid', gridTemplateColumns: 'repeat(auto-fill, minmax(180px, 1fr))', gap: 16, margin: '0 0 16px' }}>
      {figures.map(({ label, value }) => (
        <div key={label} style={{ padding: 16, border: '1px solid #dde1ea', borderRadius: 8, background: '#fff', color: '#1c2733' }}>
          <dt style={{ fontSize: 14, lineHeight: 1.4, color: '#5a6478' }}>{translateMessage(label)}</dt>
          <dd style={{ margin: 0, fontSize: 28, lineHeight: 1.4, overflowWrap: 'anywhere' }}>
            {typeof value === 'number' ? value.toLocaleString(i18n.language) : value}
          </dd>
        </div>
      ))}
    </dl>
  )
}

export const OwnCards: React.FC<{ cards: readonly CardFigure[] | undefined }> = ({ cards = [] }) =>
  cards.length === 0 ? null : (
    <div style={{ marginTop: 24 }} data-testid="own-cards">
      <Figures figures={cards} />
    </div>
  )
