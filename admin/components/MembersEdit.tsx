/** Several records of another kind, chosen by their titles. */
import React, { useId, useRef } from 'react'
import { FormGroup, FormMessage, Label, SelectAsync } from '@adminjs/design-system'
import { ApiClient, flat, useTranslation, type EditPropertyProps } from 'adminjs'

interface Choice {
  readonly value: string
  readonly label: string
}

/** The typings know one choice only. */
const MANY = { isMulti: true } as object

const MembersEdit: React.FC<EditPropertyProps> = ({ property, record, onChange }) => {
  const { translateComponent, translateMessage, translateProperty } = useTranslation()
  const id = useId()
  // By id: the places of what was loaded are no longer theirs after the first change.
  const titles = useRef(new Map<string, string>())
  for (const [path, member] of Object.entries(record.populated))
    if (path.startsWith(`${property.path}.`) && member != null) titles.current.set(String(member.id), member.title)
  const error = record.errors[property.path]
  const given: unknown = flat.get(record.params, property.path)
  const chosen = (Array.isArray(given) ? given : []).map(value => ({ value, label: titles.current.get(value) ?? value }) as Choice)

  const search = async (query: string): Promise<readonly Choice[]> => {
    const found = await new ApiClient().searchRecords({ resourceId: property.reference!, query })
    return found.map(each => ({ value: each.id, label: each.title }))
  }
  const changed = (choices: readonly Choice[] | null): void => {
    for (const { value, label } of choices ?? []) titles.current.set(value, label)
    onChange(
      property.path,
      (choices ?? []).map(({ value }) => value),
    )
  }
  return (
    <FormGroup error={error !== undefined} data-testid={`members-${property.path}`}>
      <Label htmlFor={id}>{translateProperty(property.label, property.resourceId)}</Label>
      {/* What is chosen has a light ground, in the dark as well. */}
      <style>{'.members__control .members__multi-value__remove { color: #333 }'}</style>
      <SelectAsync
        {...MANY}
        cacheOptions
        defaultOptions
        inputId={id}
        classNamePrefix="members"
        value={chosen as never}
        loadOptions={search as never}
        onChange={changed as never}
        isDisabled={property.isDisabled}
        placeholder=""
        loadingMessage={() => translateComponent('Members.loading')}
        noOptionsMessage={() => translateComponent('Members.nothing')}
        aria-invalid={error !== undefined}
      />
      <FormMessage>{error === undefined ? undefined : translateMessage(error.message, property.resourceId)}</FormMessage>
    </FormGroup>
  )
}

export default MembersEdit
