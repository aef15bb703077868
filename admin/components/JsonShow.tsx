/** JSON as it was written, with its line breaks. */
import React from 'react'
import { FormGroup } from '@adminjs/design-system'
import { PropertyLabel, type ShowPropertyProps } from 'adminjs'

const JsonShow: React.FC<ShowPropertyProps> = ({ property, record }) => (
  <FormGroup>
    <PropertyLabel property={property} />
    <pre style={{ margin: 0, fontFamily: 'monospace', fontSize: 13, lineHeight: 1.5, whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}>
      {String(record.params[property.path] ?? '')}
    </pre>
  </FormGroup>
)

export default JsonShow
