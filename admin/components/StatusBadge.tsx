/** Whether a record lives or is deleted. */
import React from 'react'
import { Badge, ValueGroup } from '@adminjs/design-system'
import { useTranslation, type BasePropertyProps } from 'adminjs'

const StatusBadge: React.FC<BasePropertyProps> = ({ record, property, where }) => {
  const { translateProperty } = useTranslation()
  const isDeleted = typeof record?.params['deletedAt'] === 'string'
  const badge = <Badge variant={isDeleted ? 'danger' : 'success'}>{isDeleted ? 'Deleted' : 'Active'}</Badge>
  return where === 'list' ? badge : <ValueGroup label={translateProperty(property.label, property.resourceId)}>{badge}</ValueGroup>
}

export default StatusBadge
