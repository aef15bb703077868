/** Whether a record lives or is deleted. */
import React from 'react'
import { Badge, ValueGroup } from '@adminjs/design-system'
import { useTranslation, type BasePropertyProps } from 'adminjs'

const StatusBadge: React.FC<BasePropertyProps> = ({ record, property, where }) => {
  const { translateComponent, translateProperty } = useTranslation()
  const isDeleted = typeof record?.params['deletedAt'] === 'string'
  const badge = (
    <Badge variant={isDeleted ? 'danger' : 'success'}>{translateComponent(isDeleted ? 'StatusBadge.deleted' : 'StatusBadge.active')}</Badge>
  )
  return where === 'list' ? badge : <ValueGroup label={translateProperty(property.label, property.resourceId)}>{badge}</ValueGroup>
}

export default StatusBadge
