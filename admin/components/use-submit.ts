/** Sends a form of our own: its notice is shown, problems stand at their fields, and where it leads is gone to. */
import { useState } from 'react'
import { useNotice, useTranslation, type NoticeMessage } from 'adminjs'
import { focusFirstError } from './Field.tsx'

type Errors = Readonly<Record<string, string>>

interface Answer {
  readonly notice?: NoticeMessage
  readonly redirectUrl?: string
  readonly record?: { readonly errors?: Readonly<Record<string, { readonly message?: string }>> }
}

export interface Submitting {
  readonly errors: Errors
  readonly setErrors: (errors: Errors) => void
  readonly isBusy: boolean
  readonly submit: (send: () => Promise<{ readonly data: unknown }>) => Promise<void>
}

export function useSubmit(): Submitting {
  const [errors, setErrors] = useState<Errors>({})
  const [isBusy, setBusy] = useState(false)
  const addNotice = useNotice()
  const { translateComponent } = useTranslation()
  const submit = async (send: () => Promise<{ readonly data: unknown }>): Promise<void> => {
    setBusy(true)
    try {
      const { notice, redirectUrl, record } = (await send()).data as Answer
      if (notice !== undefined) addNotice(notice)
      setErrors(Object.fromEntries(Object.entries(record?.errors ?? {}).map(([name, { message }]) => [name, message ?? ''])))
      if (redirectUrl === undefined) focusFirstError()
      else window.location.assign(redirectUrl)
    } catch {
      addNotice({ message: translateComponent('Confirm.refused'), type: 'error' })
    } finally {
      setBusy(false)
    }
  }
  return { errors, setErrors, isBusy, submit }
}
