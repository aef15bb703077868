/** Asks before an action on one record, and posts. */
import React, { useState } from 'react'
import { Button, DrawerContent, DrawerFooter, MessageBox, Text } from '@adminjs/design-system'
import { ActionHeader, ApiClient, useNotice, type ActionProps, type RecordActionResponse } from 'adminjs'

const ConfirmAction: React.FC<ActionProps> = ({ record, resource, action }) => {
  const [isBusy, setBusy] = useState(false)
  const addNotice = useNotice()
  const { label, question } = action.custom as { label: string; question: string }
  const run = async (): Promise<void> => {
    setBusy(true)
    try {
      const { data } = await new ApiClient().recordAction({
        resourceId: resource.id,
        recordId: record?.id ?? '',
        actionName: action.name,
        method: 'post',
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
        <MessageBox variant="info" message={question} mb="lg" />
        <Text>{record?.title}</Text>
      </DrawerContent>
      <DrawerFooter>
        <Button variant="contained" color="primary" disabled={isBusy} onClick={() => void run()} data-testid="confirm">
          {label}
        </Button>
      </DrawerFooter>
    </>
  )
}

export default ConfirmAction
