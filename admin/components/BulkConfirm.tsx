/** Asks before a bulk action, posts, and tells what became of each record where that is answered. */
import React, { useState } from 'react'
import { Badge, Button, DrawerContent, DrawerFooter, Table, TableBody, TableCell, TableRow, Text } from '@adminjs/design-system'
import { ActionHeader, ApiClient, ViewHelpers, useTranslation, type ActionProps } from 'adminjs'
import type { DeletionOutcome } from '../tenant-deletion.ts'
import { Confirmation, type Answer } from './Confirmation.tsx'

/** `words` names texts of our own; an application's bulk actions give theirs as they are. */
interface Texts {
  readonly words?: string
  readonly title?: string
  readonly text?: string
  readonly button?: string
  readonly phrase?: string
}

const Outcomes: React.FC<Pick<ActionProps, 'action' | 'resource'> & { outcomes: readonly DeletionOutcome[] }> = props => {
  const { action, resource, outcomes } = props
  const { translateComponent } = useTranslation()
  return (
    <>
      <DrawerContent>
        <ActionHeader omitActions resource={resource} action={action} />
        <Table data-testid="outcomes">
          <TableBody>
            {outcomes.map(({ slug, status, dropped, code, reason }) => (
              <TableRow key={slug}>
                <TableCell style={{ verticalAlign: 'top', whiteSpace: 'nowrap' }}>{slug}</TableCell>
                <TableCell>
                  <Badge variant={status === 'purged' ? 'success' : 'danger'}>{translateComponent(`Tenants.outcome.${status}`)}</Badge>
                  <Text style={{ overflowWrap: 'anywhere', marginTop: 4, fontWeight: 400 }}>
                    {status === 'kept'
                      ? `${code ?? ''} · ${reason ?? ''}`
                      : dropped.join(', ') || translateComponent('Tenants.outcome.none')}
                  </Text>
                </TableCell>
              </TableRow>
            ))}
          </TableBody>
        </Table>
      </DrawerContent>
      <DrawerFooter>
        <Button variant="contained" onClick={() => window.location.assign(new ViewHelpers().resourceUrl({ resourceId: resource.id }))}>
          {translateComponent('Tenants.outcome.back')}
        </Button>
      </DrawerFooter>
    </>
  )
}

const BulkConfirm: React.FC<ActionProps> = ({ records = [], resource, action }) => {
  const [outcomes, setOutcomes] = useState<readonly DeletionOutcome[] | null>(null)
  const { translateComponent, translateAction } = useTranslation()
  const { words, title = '', text, button = '', phrase } = action.custom as unknown as Texts
  const send = async (data: object): Promise<Answer> => {
    const recordIds = records.map(record => record.id)
    const answer = await new ApiClient().bulkAction({ resourceId: resource.id, actionName: action.name, recordIds, method: 'post', data })
    const { outcomes: told, ...rest } = answer.data as Answer & { outcomes?: readonly DeletionOutcome[] }
    if (told !== undefined) setOutcomes(told)
    return rest
  }
  if (outcomes !== null) return <Outcomes action={action} resource={resource} outcomes={outcomes} />
  return (
    <Confirmation
      action={action}
      resource={resource}
      title={words === undefined ? title : translateComponent(`Tenants.questions.${words}`)}
      text={text}
      button={`${words === undefined ? button : translateAction(action.name, resource.id)} (${records.length})`}
      phrase={phrase?.replace('{count}', String(records.length))}
      send={send}
    >
      <Table>
        <TableBody>
          {records.map(record => (
            <TableRow key={record.id}>
              <TableCell>{record.title}</TableCell>
            </TableRow>
          ))}
        </TableBody>
      </Table>
    </Confirmation>
  )
}

export default BulkConfirm
