/** Whether a record lives or is deleted. */
import React from 'react'
import { Badge, FormGroup } from '@adminjs/design-system'
import { PropertyLabel, type BasePropertyProps } from 'adminjs'

const StatusBadge: React.FC<BasePropertyProps> = ({ record, property, where }) => {
  const isDeleted = typeof record?.params['deletedAt'] === 'string'
  const badge = <Badge variant={isDeleted ? 'danger' : 'success'}>{isDeleted ? 'Deleted' : 'Active'}</Badge>
  if (where === 'list') return badge
  return (
    <FormGroup>
      <PropertyLabel property={property} />
      {badge}
    </FormGroup>
  )
}

export default StatusBadge
