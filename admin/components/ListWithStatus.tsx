/** The list with a switch above it: live rows, deleted ones, or all. */
import React from 'react'
import { Box, Button } from '@adminjs/design-system'
import { useQueryParams, useTranslation, type ActionProps } from 'adminjs'

const STATUSES = ['active', 'deleted', 'all'] as const

const ListWithStatus: React.FC<ActionProps & { OriginalComponent: React.FC<ActionProps> }> = ({ OriginalComponent, ...props }) => {
  const { translateComponent } = useTranslation()
  const { filters, storeParams } = useQueryParams()
  const { soft_delete_status: current = 'active', ...others } = (filters as Record<string, string> | undefined) ?? {}
  if (!('soft_delete_status' in props.resource.properties)) return <OriginalComponent {...props} />
  const choose = (status: string): void =>
    storeParams({ filters: status === 'active' ? others : { ...others, soft_delete_status: status }, page: '1' })
  return (
    <>
      <Box flex mb="lg" role="group" aria-label={translateComponent('Status.group')} data-testid="status-filter">
        {STATUSES.map(status => (
          <Button
            key={status}
            mr="sm"
            size="sm"
            variant={current === status ? 'contained' : 'outlined'}
            aria-pressed={current === status}
            onClick={() => choose(status)}
          >
            {translateComponent(`Status.${status}`)}
          </Button>
        ))}
      </Box>
      <OriginalComponent {...props} />
    </>
  )
}

export default ListWithStatus
