/** The header: where you are, a way into tenants, a banner while an operator visits one, and the log-out. */
import React, { useEffect, useState } from 'react'
import { Badge, Box, Button, Icon, Text } from '@adminjs/design-system'
import { useCurrentAdmin, useTranslation } from 'adminjs'
import type { AdminPerson } from '../person.ts'
import { mendMarkup, type Names } from './accessible.ts'
import { LanguageSwitch } from './LanguageSwitch.tsx'

interface Found {
  readonly slug: string
  readonly name: string
}

const field = {
  font: 'inherit',
  fontSize: 14,
  padding: '6px 8px',
  border: '1px solid #8a94a6',
  borderRadius: 4,
  width: 160,
  maxWidth: '40vw',
}

const Post: React.FC<{ action: string; csrf: string; values?: Readonly<Record<string, string>>; children: React.ReactNode }> = props => (
  <form method="post" action={props.action} style={{ display: 'flex', alignItems: 'center', gap: 8 }}>
    <input type="hidden" name="_csrf" value={props.csrf} />
    {Object.entries(props.values ?? {}).map(([name, value]) => (
      <input key={name} type="hidden" name={name} value={value} />
    ))}
    {props.children}
  </form>
)

/** A tenant by its slug, with suggestions from the server: there may be thousands. */
const Switch: React.FC<{ csrf: string }> = ({ csrf }) => {
  const { translateComponent } = useTranslation()
  const [found, setFound] = useState<readonly Found[]>([])
  const search = async (text: string): Promise<void> => {
    const response = await fetch(`/admin/tenants?search=${encodeURIComponent(text)}`, { headers: { accept: 'application/json' } })
    if (response.ok && !response.redirected) setFound(((await response.json()) as { items: Found[] }).items)
  }
  return (
    <Post action="/admin/enter" csrf={csrf}>
      <input
        name="tenant"
        aria-label={translateComponent('Header.tenantToEnter')}
        placeholder={translateComponent('Header.tenantPlaceholder')}
        list="tenants-found"
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        required
        style={field}
        onFocus={() => void search('')}
        onChange={event => void search(event.target.value)}
      />
      <datalist id="tenants-found">
        {found.map(({ slug, name }) => (
          <option key={slug} value={slug} label={name} />
        ))}
      </datalist>
      <Button size="sm" variant="outlined" type="submit">
        {translateComponent('Header.enter')}
      </Button>
    </Post>
  )
}

const TopBar: React.FC<{ toggleSidebar: () => void }> = ({ toggleSidebar }) => {
  const { translateComponent } = useTranslation()
  const [current] = useCurrentAdmin()
  useEffect(() => {
    const name = (key: keyof Names): string => translateComponent(`Names.${key}`)
    return mendMarkup({
      select: name('select'),
      selectAll: name('selectAll'),
      close: name('close'),
      remove: name('remove'),
      previous: name('previous'),
      next: name('next'),
    })
  }, [])
  const person = current as AdminPerson | null
  if (person === null) return null
  const { tenant, csrf } = person
  return (
    <Box flexShrink={0} bg="container" borderBottom="default" data-css="topbar">
      {person.isVisitor && tenant !== null ? (
        <div
          role="status"
          data-testid="visitor-banner"
          style={{
            display: 'flex',
            flexWrap: 'wrap',
            gap: 12,
            alignItems: 'center',
            padding: '8px 24px',
            background: '#7a2e0e',
            color: '#fff',
          }}
        >
          <span>{translateComponent('Header.visiting', { tenant: tenant.name, person: person.email })}</span>
          <Post action="/admin/leave" csrf={csrf} values={{ tenant: tenant.slug }}>
            <button
              type="submit"
              style={{
                font: 'inherit',
                padding: '4px 12px',
                border: '1px solid #fff',
                borderRadius: 4,
                background: 'none',
                color: '#fff',
                cursor: 'pointer',
              }}
            >
              {translateComponent('Header.leave')}
            </button>
          </Post>
        </div>
      ) : null}
      <Box flex alignItems="center" px="lg" py="default" style={{ minHeight: 56, flexWrap: 'wrap', gap: 12 }}>
        <Box display={['block', 'block', 'block', 'block', 'none']}>
          <button
            type="button"
            aria-label={translateComponent('Header.menu')}
            onClick={toggleSidebar}
            style={{ background: 'none', border: 0, cursor: 'pointer', padding: 4 }}
          >
            <Icon icon="Menu" size={24} />
          </button>
        </Box>
        <Badge variant={tenant === null ? 'default' : 'primary'} data-testid="scope">
          {tenant === null ? translateComponent('Header.controlPlane') : translateComponent('Header.tenant', { name: tenant.name })}
        </Badge>
        {tenant === null && person.permissions.includes('tenants:enter') ? <Switch csrf={csrf} /> : null}
        <Box flexGrow={1} />
        <LanguageSwitch csrf={csrf} language={person.language} redirectTo={() => window.location.pathname + window.location.search} />
        <Text style={{ overflowWrap: 'anywhere', fontWeight: 400 }}>{person.email}</Text>
        <Post action="/admin/logout" csrf={csrf}>
          <Button size="sm" variant="text" type="submit">
            <Icon icon="LogOut" /> {translateComponent('Header.logOut')}
          </Button>
        </Post>
      </Box>
    </Box>
  )
}

export default TopBar
