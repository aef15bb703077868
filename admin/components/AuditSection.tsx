/** The Audit section at the end of show and edit: closed at first, never edited. */
import React, { useId, useState } from 'react'
import { Box, Icon, Label, Text } from '@adminjs/design-system'
import { useTranslation, type BasePropertyProps } from 'adminjs'

const AuditSection: React.FC<BasePropertyProps> = ({ record, property }) => {
  const { translateComponent, i18n } = useTranslation()
  const [isOpen, setOpen] = useState(false)
  const id = useId()
  // The form of a new record has nothing to tell.
  if (!record?.id) return null
  const { fields = [] } = property.custom as { fields?: readonly string[] }
  const valueOf = (field: string): string => {
    const value: unknown = record.params[field]
    if (typeof value !== 'string' || value === '') return '–'
    const named: unknown = record.params[`audit.${field}`]
    if (field.endsWith('At')) return new Date(value).toLocaleString(i18n.language)
    return typeof named === 'string' ? named : value
  }
  return (
    <Box mt="xl" border="default" data-testid="audit" width={1}>
      <h2 style={{ margin: 0 }}>
        <button
          type="button"
          aria-expanded={isOpen}
          aria-controls={id}
          onClick={() => setOpen(!isOpen)}
          style={{
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
          }}
        >
          <Icon icon={isOpen ? 'ChevronDown' : 'ChevronRight'} />
          {translateComponent('Audit.title')}
        </button>
      </h2>
      <Box
        id={id}
        hidden={!isOpen}
        px="lg"
        pb="lg"
        style={isOpen ? { display: 'grid', gridTemplateColumns: 'repeat(auto-fit, minmax(220px, 1fr))', gap: 16 } : { display: 'none' }}
      >
        {fields.map(field => (
          <Box key={field}>
            <Label as="div">{translateComponent(`Audit.${field}`)}</Label>
            <Text style={{ overflowWrap: 'anywhere', fontWeight: 400 }}>{valueOf(field)}</Text>
          </Box>
        ))}
      </Box>
    </Box>
  )
}

export default AuditSection
