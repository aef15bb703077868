/** A new password; the present one is never here. */
import React, { useId } from 'react'
import { FormGroup, FormMessage, Input, Label } from '@adminjs/design-system'
import { useTranslation, type EditPropertyProps } from 'adminjs'

const PasswordEdit: React.FC<EditPropertyProps> = ({ property, record, onChange }) => {
  const { translateComponent, translateMessage, translateProperty } = useTranslation()
  const id = useId()
  const error = record.errors[property.path]
  const value: unknown = record.params[property.path]
  return (
    <FormGroup error={error !== undefined}>
      <Label htmlFor={id}>{translateProperty(property.path, property.resourceId)}</Label>
      <Input
        type="password"
        id={id}
        name={property.path}
        autoComplete="new-password"
        value={typeof value === 'string' ? value : ''}
        onChange={(event: React.ChangeEvent<HTMLInputElement>) => onChange(property.path, event.target.value)}
      />
      <FormMessage>
        {error === undefined
          ? record.id
            ? translateComponent('Password.hint')
            : null
          : translateMessage(error.message, property.resourceId)}
      </FormMessage>
    </FormGroup>
  )
}

export default PasswordEdit
