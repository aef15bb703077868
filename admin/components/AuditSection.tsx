/** The Audit section at the end of show and edit: closed at first, never edited. */
import React, { useState } from 'react'
import { Box, Label, Text } from '@adminjs/design-system'
import { useTranslation, type BasePropertyProps } from 'adminjs'
import { Disclosure } from './Disclosure.tsx'

const AuditSection: React.FC<BasePropertyProps> = ({ record, property }) => {
  const { translateComponent, i18n } = useTranslation()
  const [isOpen, setOpen] = useState(false)
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
    <Disclosure
      name="audit"
      title={translateComponent('Audit.title')}
      mt="xl"
      isOpen={isOpen}
      onToggle={() => setOpen(!isOpen)}
      style={{ display: 'grid', gridTemplateColumns: 'repeat(auto-fit, minmax(220px, 1fr))', gap: 16 }}
    >
      {fields.map(field => (
        <Box key={field}>
          <Label as="div">{translateComponent(`Audit.${field}`)}</Label>
          <Text style={{ overflowWrap: 'anywhere', fontWeight: 400 }}>{valueOf(field)}</Text>
        </Box>
      ))}
    </Disclosure>
  )
}

export default AuditSection
