/** A part of a record's page with a heading that opens and closes it. */
import React, { useId } from 'react'
import { Box, Icon } from '@adminjs/design-system'

const HEADING = {
  display: 'flex',
  alignItems: 'center',
  gap: 8,
  width: '100%',
  padding: 16,
  background: 'none',
  border: 0,
  cursor: 'pointer',
  font: 'inherit',
  fontWeight: 700,
  color: 'inherit',
} as const

export interface DisclosureProps {
  /** For tests. */
  readonly name: string
  readonly title: string
  /** How far it stands below what is above it. */
  readonly mt: string
  readonly isOpen: boolean
  readonly onToggle: () => void
  /** Of what is opened. */
  readonly style?: React.CSSProperties
  readonly children: React.ReactNode
}

export const Disclosure: React.FC<DisclosureProps> = ({ name, title, mt, isOpen, onToggle, style = {}, children }) => {
  const id = useId()
  return (
    <Box mt={mt} border="default" data-testid={name} width={1}>
      <h2 style={{ margin: 0 }}>
        <button type="button" aria-expanded={isOpen} aria-controls={id} onClick={onToggle} style={HEADING}>
          <Icon icon={isOpen ? 'ChevronDown' : 'ChevronRight'} />
          {title}
        </button>
      </h2>
      <Box id={id} hidden={!isOpen} px="lg" pb="lg" style={isOpen ? style : { display: 'none' }}>
        {children}
      </Box>
    </Box>
  )
}
