/** A labelled field with its hint and what is wrong with it. */
import React, { useId } from 'react'
import { FormGroup, FormMessage, Input, Label, TextArea } from '@adminjs/design-system'

export interface FieldProps {
  readonly name: string
  readonly label: string
  readonly value: string
  readonly onChange: (value: string) => void
  readonly error?: string | undefined
  readonly hint?: string | undefined
  readonly type?: 'text' | 'email' | 'password' | 'lines'
  readonly isRequired?: boolean
  readonly isDisabled?: boolean
}

export const Field: React.FC<FieldProps> = ({ name, label, value, onChange, error, hint, type = 'text', isRequired, isDisabled }) => {
  const id = useId()
  const shared = {
    id,
    name,
    value,
    disabled: isDisabled === true,
    width: 1,
    spellCheck: false,
    'aria-describedby': `${id}-hint`,
    'aria-invalid': error !== undefined,
    onChange: (event: React.ChangeEvent<HTMLInputElement & HTMLTextAreaElement>) => onChange(event.target.value),
  }
  return (
    <FormGroup error={error !== undefined}>
      <Label htmlFor={id} required={isRequired === true}>
        {label}
      </Label>
      {type === 'lines' ? (
        <TextArea {...shared} rows={4} />
      ) : (
        // A browser must not offer to keep what belongs to somebody else.
        <Input {...shared} type={type} autoComplete={type === 'password' ? 'new-password' : 'off'} autoCapitalize="none" />
      )}
      <FormMessage id={`${id}-hint`} style={{ height: 'auto', minHeight: 20, marginBottom: 8 }}>
        {error ?? hint ?? ''}
      </FormMessage>
    </FormGroup>
  )
}

/** Brings what is wrong into view, once it is drawn. */
export function focusFirstError(): void {
  setTimeout(() => document.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus(), 0)
}
