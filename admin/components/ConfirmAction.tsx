/** Asks before an action on one record, and posts. */
import React, { useId, useState } from 'react'
import { Button, DrawerContent, DrawerFooter, FormGroup, Input, Label, MessageBox, Text } from '@adminjs/design-system'
import { ActionHeader, ApiClient, useNotice, type ActionProps, type RecordActionResponse } from 'adminjs'

const ConfirmAction: React.FC<ActionProps> = ({ record, resource, action }) => {
  const [isBusy, setBusy] = useState(false)
  const addNotice = useNotice()
  const [typed, setTyped] = useState('')
  const id = useId()
  const { label, question, phrase: template } = action.custom as { label: string; question: string; phrase?: string }
  const phrase = template?.replace(/\{(\w+)\}/g, (_, name: string) => String(record?.params[name] ?? ''))
  const run = async (): Promise<void> => {
    setBusy(true)
    try {
      const { data } = await new ApiClient().recordAction({
        resourceId: resource.id,
        recordId: record?.id ?? '',
        actionName: action.name,
        method: 'post',
        data: { confirm_hard_delete: typed },
      })
      const { notice, redirectUrl } = data as RecordActionResponse
      if (notice !== undefined) addNotice(notice)
      if (redirectUrl !== undefined) window.location.assign(redirectUrl)
    } catch {
      addNotice({ message: 'This was refused. Nothing was changed.', type: 'error' })
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <DrawerContent>
        <ActionHeader omitActions resource={resource} action={action} />
        <MessageBox variant={phrase === undefined ? 'info' : 'danger'} message={question} mb="lg" />
        <Text>{record?.title}</Text>
        {phrase === undefined ? null : (
          <FormGroup mt="xl">
            <Label htmlFor={id} required>
              Type {phrase} to confirm
            </Label>
            <Input
              id={id}
              name="confirm_hard_delete"
              value={typed}
              autoComplete="off"
              onChange={(event: React.ChangeEvent<HTMLInputElement>) => setTyped(event.target.value)}
            />
          </FormGroup>
        )}
      </DrawerContent>
      <DrawerFooter>
        <Button
          variant="contained"
          color={phrase === undefined ? 'primary' : 'danger'}
          disabled={isBusy || (phrase !== undefined && typed !== phrase)}
          onClick={() => void run()}
          data-testid="confirm"
        >
          {label}
        </Button>
      </DrawerFooter>
    </>
  )
}

export default ConfirmAction
