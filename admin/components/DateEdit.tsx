/** A day is a day: AdminJS's own field stores the day before, wherever the clocks are ahead of UTC. */
import React from 'react'
import { FormGroup, FormMessage, Input } from '@adminjs/design-system'
import { PropertyLabel, type EditPropertyProps } from 'adminjs'

const DateEdit: React.FC<EditPropertyProps & { OriginalComponent: React.FC<EditPropertyProps> }> = ({ OriginalComponent, ...props }) => {
  const { property, record, onChange } = props
  if (property.type !== 'date') return <OriginalComponent {...props} />
  const error = record.errors[property.path]
  const value: unknown = record.params[property.path]
  return (
    <FormGroup error={error !== undefined}>
      <PropertyLabel property={property} />
      <Input
        type="date"
        id={property.path}
        name={`property-${property.path}`}
        disabled={property.isDisabled}
        value={typeof value === 'string' ? value.slice(0, 10) : ''}
        onChange={(event: React.ChangeEvent<HTMLInputElement>) => onChange(property.path, event.target.value || null)}
      />
      <FormMessage>{error?.message}</FormMessage>
    </FormGroup>
  )
}

export default DateEdit
