/** A new tenant, or what may change of one: the sections follow isolation and provisioning, secrets are written and never shown. */
import React, { useEffect, useState } from 'react'
import { Box, Button, H5, Label } from '@adminjs/design-system'
import { ApiClient, useCurrentAdmin, useTranslation, type ActionProps } from 'adminjs'
import type { AdminPerson } from '../person.ts'
import type { TenantProgress } from '../tenant-progress.ts'
import { Field, type FieldProps } from './Field.tsx'
import { LINE } from './colours.ts'
import { useSubmit } from './use-submit.ts'

type Values = Readonly<Record<string, string>>

const EMPTY: Values = { isolationMode: 'schema', provisioningMode: 'auto' }
const SECTION = { border: `1px solid ${LINE}`, borderRadius: 4, padding: 16, margin: '0 0 16px' } as const

const Choice: React.FC<{
  name: string
  legend: string
  options: readonly (readonly [string, string])[]
  value: string
  isDisabled: boolean
  onChange: (value: string) => void
}> = ({ name, legend, options, value, isDisabled, onChange }) => (
  <Box as="fieldset" mb="lg" style={{ border: 0, padding: 0 }}>
    <Label as="legend">{legend}</Label>
    <Box flex style={{ gap: 24, flexWrap: 'wrap' }}>
      {options.map(([key, label]) => (
        <label key={key} style={{ display: 'flex', gap: 8, alignItems: 'center', fontSize: 14 }}>
          <input type="radio" name={name} value={key} checked={value === key} disabled={isDisabled} onChange={() => onChange(key)} />
          {label}
        </label>
      ))}
    </Box>
  </Box>
)

const TenantForm: React.FC<ActionProps> = ({ record, resource, action }) => {
  const isNew = record === undefined || record === null || !record.id
  const params = (isNew ? {} : record.params) as Readonly<Record<string, string | null | undefined>>
  const initial: Values = isNew
    ? EMPTY
    : Object.fromEntries(
        ['slug', 'name', 'isolationMode', 'provisioningMode', 'metadata', 'updatedAt'].map(name => [name, params[name] ?? '']),
      )
  const [values, setValues] = useState<Values>(initial)
  const [secrets, setSecrets] = useState<TenantProgress['secrets'] | null>(null)
  const { errors, isBusy, submit } = useSubmit()
  const { translateComponent } = useTranslation()
  const say = (key: string): string => translateComponent(`Tenants.form.${key}`)
  const [current] = useCurrentAdmin()
  const mayMake = (current as AdminPerson | null)?.permissions.includes('users:write') === true
  const { makesAdministrators } = (action.custom ?? {}) as { makesAdministrators?: boolean }

  useEffect(() => {
    if (isNew) return
    new ApiClient().recordAction({ resourceId: resource.id, recordId: record.id, actionName: 'operations' }).then(
      ({ data }) => setSecrets((data as unknown as { progress: TenantProgress }).progress.secrets),
      () => undefined,
    )
  }, [])

  const mode = `${values['isolationMode']}/${values['provisioningMode']}`
  const field = (name: string, more: Partial<FieldProps> = {}): React.ReactElement => (
    <Field
      key={name}
      name={name}
      label={say(name)}
      value={values[name] ?? ''}
      error={errors[name]}
      onChange={value => setValues({ ...values, [name]: value })}
      {...more}
    />
  )
  const secret = (name: keyof TenantProgress['secrets'], hint: string, isRequired = false): React.ReactElement => {
    const stored = secrets === null ? '' : say(secrets[name] ? 'stored' : 'unstored')
    return field(name, { type: 'password', isRequired, hint: [isNew ? hint : stored, say('secretHint')].filter(Boolean).join(' ') })
  }
  const choice = (name: string, ...keys: string[]): React.ReactElement => (
    <Choice
      name={name}
      legend={say(name)}
      options={keys.map(key => [key, say(key)] as const)}
      value={values[name] ?? ''}
      isDisabled={!isNew}
      onChange={value => setValues({ ...values, [name]: value })}
    />
  )
  const section = (title: string, ...children: React.ReactNode[]): React.ReactElement => (
    <Box as="fieldset" style={SECTION} data-testid={`section-${title}`}>
      <H5 as="legend" style={{ padding: '0 8px', margin: 0 }}>
        {say(title)}
      </H5>
      {React.Children.toArray(children)}
    </Box>
  )

  /** Only what its mode shows is sent. */
  const shown = (): string[] => {
    const fields = isNew ? ['slug', 'name', 'isolationMode', 'provisioningMode', 'metadata'] : ['name', 'metadata', 'updatedAt']
    if (isNew && mode === 'schema/manual') fields.push('schemaName')
    if (isNew && mode === 'database/manual') fields.push('connectionAlias')
    if (mode === 'database/manual' || (!isNew && mode === 'database/auto')) fields.push('connectionString')
    if (mode.startsWith('database/')) fields.push('provisioningConnectionString')
    return isNew && makesAdministrators === true && mayMake ? [...fields, 'adminEmail', 'adminPassword'] : fields
  }
  const send = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault()
    const data = Object.fromEntries(shown().map(name => [name, values[name] ?? '']))
    const request = { resourceId: resource.id, actionName: action.name, method: 'post' as const, data }
    const api = new ApiClient()
    await submit(() => (isNew ? api.resourceAction(request) : api.recordAction({ ...request, recordId: record.id })))
  }

  const fields = shown()
  return (
    <Box as="form" variant="white" style={{ maxWidth: 760 }} onSubmit={(event: React.FormEvent) => void send(event)} noValidate>
      {section(
        'basics',
        field('slug', { hint: say('slugHint'), isRequired: true, isDisabled: !isNew }),
        field('name', { isRequired: true }),
        choice('isolationMode', 'schema', 'database'),
        choice('provisioningMode', 'auto', 'manual'),
        field('metadata', { type: 'lines' }),
      )}
      {fields.includes('schemaName') ? section('place', field('schemaName', { isRequired: true })) : null}
      {fields.includes('connectionString')
        ? section(
            'runtime',
            isNew ? field('connectionAlias', { isRequired: true }) : null,
            secret('connectionString', say('urlHint'), isNew),
          )
        : null}
      {fields.includes('provisioningConnectionString')
        ? section('provisioning', secret('provisioningConnectionString', say('provisioningHint')))
        : null}
      {fields.includes('adminEmail')
        ? section(
            'administrator',
            field('adminEmail', { type: 'email', hint: say('adminHint') }),
            field('adminPassword', { type: 'password' }),
          )
        : null}
      <Button variant="contained" type="submit" disabled={isBusy} data-testid="submit">
        {say(isNew ? 'create' : 'save')}
      </Button>
    </Box>
  )
}

export default TenantForm
