/** JSON as it was written, with its line breaks. */
import React from 'react'
import { ValueGroup } from '@adminjs/design-system'
import { useTranslation, type ShowPropertyProps } from 'adminjs'

const JsonShow: React.FC<ShowPropertyProps> = ({ property, record }) => {
  const { translateProperty } = useTranslation()
  return (
    <ValueGroup label={translateProperty(property.label, property.resourceId)}>
      <pre style={{ margin: 0, fontFamily: 'monospace', fontSize: 13, lineHeight: 1.5, whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
        {String(record.params[property.path] ?? '')}
      </pre>
    </ValueGroup>
  )
}

export default JsonShow
