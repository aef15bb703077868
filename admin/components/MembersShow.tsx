/** The titles of several records of another kind, each a link for who may open it. */
import React from 'react'
import { Link, ValueGroup } from '@adminjs/design-system'
import { ViewHelpers, flat, useTranslation, type ShowPropertyProps } from 'adminjs'

const MembersShow: React.FC<ShowPropertyProps> = ({ property, record }) => {
  const { translateComponent, translateProperty } = useTranslation()
  const given: unknown = flat.get(record.params, property.path)
  const ids = (Array.isArray(given) ? given : []) as readonly string[]
  return (
    <ValueGroup label={translateProperty(property.label, property.resourceId)}>
      {ids.length === 0 ? (
        translateComponent('Members.none')
      ) : (
        <ul data-testid={`members-${property.path}`} style={{ display: 'flex', flexWrap: 'wrap', gap: '4px 16px', margin: 0, padding: 0 }}>
          {ids.map((id, at) => {
            const member = record.populated[`${property.path}.${at}`]
            const title = member?.title ?? id
            const isOpen = member?.recordActions.some(({ name }) => name === 'show') === true
            const href = new ViewHelpers().recordActionUrl({ resourceId: property.reference!, recordId: id, actionName: 'show' })
            return (
              <li key={id} style={{ listStyle: 'none', overflowWrap: 'anywhere' }}>
                {isOpen ? (
                  <Link href={href} color="primary100" style={{ textDecoration: 'underline' }}>
                    {title}
                  </Link>
                ) : (
                  title
                )}
              </li>
            )
          })}
        </ul>
      )}
    </ValueGroup>
  )
}

export default MembersShow
