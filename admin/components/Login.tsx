/** The log-in: an email, a password, and a tenant or none. */
import React from 'react'
import { Box, Button, FormGroup, FormMessage, Input, Label, MessageBox } from '@adminjs/design-system'
import { useTranslation } from 'adminjs'
import { LanguageSwitch } from './LanguageSwitch.tsx'

interface LogInState {
  readonly action: string
  readonly csrf: string
  readonly language: string
  readonly errorMessage: string | null
  readonly redirectTo: string
  readonly title: string
}

const Login: React.FC = () => {
  const { action, csrf, errorMessage, language, redirectTo, title } = (window as unknown as { __APP_STATE__: LogInState }).__APP_STATE__
  const { translateComponent, translateMessage } = useTranslation()
  return (
    <Box
      as="main"
      flex
      flexDirection="column"
      bg="grey20"
      alignItems="center"
      justifyContent="center"
      style={{ minHeight: '100%', padding: 16 }}
    >
      <Box
        as="form"
        action={action}
        method="post"
        bg="white"
        p="x3"
        boxShadow="card"
        style={{ width: 420, maxWidth: '100%', borderRadius: 8 }}
      >
        <h1 style={{ fontSize: 24, lineHeight: 1.3, marginBottom: 24 }}>{title}</h1>
        {errorMessage === null ? null : <MessageBox role="alert" mb="xl" variant="danger" message={translateMessage(errorMessage)} />}
        <input type="hidden" name="_csrf" value={csrf} />
        <input type="hidden" name="redirectTo" value={redirectTo} />
        <FormGroup>
          <Label htmlFor="email" required>
            {translateComponent('LogIn.email')}
          </Label>
          <Input id="email" name="email" type="email" autoComplete="username" required autoFocus width={1} />
        </FormGroup>
        <FormGroup>
          <Label htmlFor="password" required>
            {translateComponent('LogIn.password')}
          </Label>
          <Input id="password" name="password" type="password" autoComplete="current-password" required width={1} />
        </FormGroup>
        <FormGroup>
          <Label htmlFor="tenant">{translateComponent('LogIn.tenant')}</Label>
          <Input id="tenant" name="tenant" type="text" autoCapitalize="none" spellCheck={false} width={1} />
          <FormMessage>{translateComponent('LogIn.tenantHint')}</FormMessage>
        </FormGroup>
        <Button mt="xl" variant="contained" type="submit" style={{ width: '100%' }}>
          {translateComponent('LogIn.submit')}
        </Button>
      </Box>
      <Box mt="lg">
        <LanguageSwitch csrf={csrf} language={language} redirectTo={() => redirectTo} />
      </Box>
    </Box>
  )
}

export default Login
