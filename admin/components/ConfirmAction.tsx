/** Asks before an action on one record, and posts. */
import React from 'react'
import { Text } from '@adminjs/design-system'
import { ApiClient, useTranslation, type ActionProps } from 'adminjs'
import { Confirmation, type Answer } from './Confirmation.tsx'

/** `words` names texts of our own; an application gives its texts as they are. */
interface Texts {
  readonly words?: string
  readonly label?: string
  readonly question?: string
  readonly phrase?: string
}

const ConfirmAction: React.FC<ActionProps> = ({ record, resource, action }) => {
  const { translateComponent, translateAction } = useTranslation()
  const { words, label, question, phrase } = action.custom as unknown as Texts
  const send = async (data: object): Promise<Answer> => {
    const request = { resourceId: resource.id, recordId: record?.id ?? '', actionName: action.name, method: 'post' as const, data }
    return (await new ApiClient().recordAction(request)).data as Answer
  }
  return (
    <Confirmation
      action={action}
      resource={resource}
      title={words === undefined ? (question ?? '') : translateComponent(`Tenants.questions.${words}`)}
      button={words === undefined ? (label ?? '') : translateAction(action.name, resource.id)}
      phrase={phrase?.replace(/\{(\w+)\}/g, (_, name: string) => String(record?.params[name] ?? ''))}
      send={send}
    >
      <Text>{record?.title}</Text>
    </Confirmation>
  )
}

export default ConfirmAction
