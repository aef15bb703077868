/** What every action asks with before it runs: a question, a phrase where there is one, a button. The server decides again. */
import React, { useId, useState } from 'react'
import { Button, DrawerContent, DrawerFooter, FormGroup, Input, Label, MessageBox } from '@adminjs/design-system'
import { ActionHeader, useNotice, useTranslation, type ActionProps, type NoticeMessage } from 'adminjs'

/** What an action answers with, as far as it is looked at here. */
export interface Answer {
  readonly notice?: NoticeMessage | undefined
  readonly redirectUrl?: string | undefined
}

export interface ConfirmationProps extends Pick<ActionProps, 'action' | 'resource'> {
  readonly title: string
  readonly text?: string | undefined
  readonly button: string
  readonly phrase?: string | undefined
  /** Posts; `confirm_hard_delete` is what was typed. Answers what is told. */
  readonly send: (data: { readonly confirm_hard_delete: string }) => Promise<Answer>
  /** What it is about. */
  readonly children?: React.ReactNode
}

export const Confirmation: React.FC<ConfirmationProps> = ({ action, resource, title, text, button, phrase, send, children }) => {
  const [typed, setTyped] = useState('')
  const [isBusy, setBusy] = useState(false)
  const addNotice = useNotice()
  const { translateComponent } = useTranslation()
  const id = useId()
  const run = async (): Promise<void> => {
    setBusy(true)
    try {
      const { notice, redirectUrl } = await send({ confirm_hard_delete: typed })
      if (notice !== undefined) addNotice(notice)
      if (redirectUrl !== undefined) window.location.assign(redirectUrl)
    } catch {
      addNotice({ message: translateComponent('Confirm.refused'), type: 'error' })
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <DrawerContent>
        <ActionHeader omitActions resource={resource} action={action} />
        <MessageBox variant={phrase === undefined ? 'info' : 'danger'} message={title} mb="lg">
          {text}
        </MessageBox>
        {children}
        {phrase === undefined ? null : (
          <FormGroup mt="xl">
            <Label htmlFor={id} required>
              {translateComponent('Confirm.type', { phrase })}
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
          {button}
        </Button>
      </DrawerFooter>
    </>
  )
}
