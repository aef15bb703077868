/** Asks before a bulk action, for a phrase where there is one, and posts. The server decides again. */
import React, { useId, useState } from 'react'
import {
  Button,
  DrawerContent,
  DrawerFooter,
  FormGroup,
  Input,
  Label,
  MessageBox,
  Table,
  TableBody,
  TableCell,
  TableRow,
} from '@adminjs/design-system'
import { ActionHeader, ApiClient, useNotice, type ActionProps, type BulkActionResponse } from 'adminjs'

interface Texts {
  readonly title: string
  readonly text: string
  readonly button: string
  readonly phrase?: string
}

const BulkConfirm: React.FC<ActionProps> = ({ records = [], resource, action }) => {
  const [typed, setTyped] = useState('')
  const [isBusy, setBusy] = useState(false)
  const addNotice = useNotice()
  const id = useId()
  const { title, text, button, phrase } = action.custom as unknown as Texts
  const run = async (): Promise<void> => {
    setBusy(true)
    try {
      const { data } = await new ApiClient().bulkAction({
        resourceId: resource.id,
        actionName: action.name,
        recordIds: records.map(record => record.id),
        method: 'post',
        data: { confirm_hard_delete: typed },
      })
      const { notice, redirectUrl } = data as BulkActionResponse
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
        {action.showInDrawer ? <ActionHeader omitActions resource={resource} action={action} /> : null}
        <MessageBox variant={phrase === undefined ? 'info' : 'danger'} message={title} mb="lg">
          {text}
        </MessageBox>
        <Table>
          <TableBody>
            {records.map(record => (
              <TableRow key={record.id}>
                <TableCell>{record.title}</TableCell>
              </TableRow>
            ))}
          </TableBody>
        </Table>
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
          {button} ({records.length})
        </Button>
      </DrawerFooter>
    </>
  )
}

export default BulkConfirm
