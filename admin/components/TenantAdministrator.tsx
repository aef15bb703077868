/** Makes an administrator of a tenant. The password is sent once, and shown nowhere. */
import React, { useState } from 'react'
import { Box, Button, DrawerContent, DrawerFooter, MessageBox } from '@adminjs/design-system'
import { ActionHeader, ApiClient, useTranslation, type ActionProps } from 'adminjs'
import { Field } from './Field.tsx'
import { useSubmit } from './use-submit.ts'

const TenantAdministrator: React.FC<ActionProps> = ({ record, resource, action }) => {
  const [values, setValues] = useState({ email: '', password: '', again: '' })
  const { errors, setErrors, isBusy, submit } = useSubmit()
  const { translateComponent } = useTranslation()
  const say = (key: string): string => translateComponent(`Tenants.administrator.${key}`)
  const field = (name: keyof typeof values, type: 'email' | 'password'): React.ReactElement => (
    <Field
      name={name}
      label={say(name)}
      type={type}
      isRequired
      value={values[name]}
      error={errors[name]}
      onChange={value => setValues({ ...values, [name]: value })}
    />
  )
  const send = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault()
    if (values.password !== values.again) return setErrors({ again: say('differs') })
    const data = { email: values.email, password: values.password }
    const request = { resourceId: resource.id, recordId: record?.id ?? '', actionName: action.name, method: 'post' as const, data }
    await submit(() => new ApiClient().recordAction(request))
  }
  return (
    <Box as="form" flex flexDirection="column" flexGrow={1} noValidate onSubmit={(event: React.FormEvent) => void send(event)}>
      <DrawerContent>
        <ActionHeader omitActions resource={resource} action={action} />
        <MessageBox variant="info" message={record?.title ?? ''} mb="lg">
          {say('text')}
        </MessageBox>
        {field('email', 'email')}
        {field('password', 'password')}
        {field('again', 'password')}
      </DrawerContent>
      <DrawerFooter>
        <Button variant="contained" type="submit" disabled={isBusy} data-testid="submit">
          {say('submit')}
        </Button>
      </DrawerFooter>
    </Box>
  )
}

export default TenantAdministrator
