/** Makes an administrator of a tenant. The password is sent once, and shown nowhere. */
import React, { useState } from 'react'
import { Box, Button, DrawerContent, DrawerFooter, MessageBox } from '@adminjs/design-system'
import { ActionHeader, ApiClient, useNotice, useTranslation, type ActionProps, type NoticeMessage } from 'adminjs'
import { Field, focusFirstError } from './Field.tsx'

interface Answer {
  readonly notice?: NoticeMessage
  readonly redirectUrl?: string
  readonly record?: { readonly errors?: Readonly<Record<string, { readonly message?: string }>> }
}

const TenantAdministrator: React.FC<ActionProps> = ({ record, resource, action }) => {
  const [values, setValues] = useState({ email: '', password: '', again: '' })
  const [errors, setErrors] = useState<Readonly<Record<string, string>>>({})
  const [isBusy, setBusy] = useState(false)
  const addNotice = useNotice()
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
  const submit = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault()
    if (values.password !== values.again) return setErrors({ again: say('differs') })
    setBusy(true)
    try {
      const data = { email: values.email, password: values.password }
      const request = { resourceId: resource.id, recordId: record?.id ?? '', actionName: action.name, method: 'post' as const, data }
      const { notice, redirectUrl, record: refused } = (await new ApiClient().recordAction(request)).data as unknown as Answer
      if (notice !== undefined) addNotice(notice)
      setErrors(Object.fromEntries(Object.entries(refused?.errors ?? {}).map(([name, { message }]) => [name, message ?? ''])))
      if (redirectUrl === undefined) focusFirstError()
      if (redirectUrl !== undefined) window.location.assign(redirectUrl)
    } catch {
      addNotice({ message: translateComponent('Confirm.refused'), type: 'error' })
    } finally {
      setBusy(false)
    }
  }
  return (
    <Box as="form" flex flexDirection="column" flexGrow={1} noValidate onSubmit={(event: React.FormEvent) => void submit(event)}>
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
