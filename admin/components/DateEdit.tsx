/**
 * Days and moments in the browser's own fields. AdminJS's picker stores the day before, wherever the clocks are ahead of UTC; and it opens over
 * whoever comes by the keyboard, and does not let go.
 */
import React from 'react'
import { FormGroup, FormMessage, Input } from '@adminjs/design-system'
import { PropertyLabel, useTranslation, type EditPropertyProps } from 'adminjs'

const DateEdit: React.FC<EditPropertyProps & { OriginalComponent: React.FC<EditPropertyProps> }> = ({ property, record, onChange }) => {
  const { translateMessage } = useTranslation()
  const error = record.errors[property.path]
  const value: unknown = record.params[property.path]
  const isDay = property.type === 'date'
  const changed = (text: string): void => onChange(property.path, text === '' ? null : isDay ? text : momentOf(text))
  return (
    <FormGroup error={error !== undefined}>
      <PropertyLabel property={property} />
      <Input
        type={isDay ? 'date' : 'datetime-local'}
        step="any"
        id={property.path}
        name={`property-${property.path}`}
        disabled={property.isDisabled}
        value={typeof value !== 'string' ? '' : isDay ? value.slice(0, 10) : localOf(value)}
        onChange={(event: React.ChangeEvent<HTMLInputElement>) => changed(event.target.value)}
      />
      <FormMessage>{error === undefined ? undefined : translateMessage(error.message, property.resourceId)}</FormMessage>
    </FormGroup>
  )
}

/** A moment as the clocks here show it. */
function localOf(moment: string): string {
  const date = new Date(moment)
  if (Number.isNaN(date.getTime())) return ''
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, -1)
}

/** The moment that the clocks here show so. */
function momentOf(local: string): string {
  const date = new Date(local)
  return Number.isNaN(date.getTime()) ? local : date.toISOString()
}

export default DateEdit
