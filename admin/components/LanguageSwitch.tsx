/** Offers the other languages, each by its own name; the choice is kept in a cookie. */
import React, { useRef } from 'react'
import { LINK } from './colours.ts'

const NAMES: Readonly<Record<string, string>> = { en: 'English', es: 'Español' }

export interface LanguageSwitchProps {
  readonly csrf: string
  readonly language: string
  /** Where to come back to, asked when a language is chosen. */
  readonly redirectTo: () => string
}

export const LanguageSwitch: React.FC<LanguageSwitchProps> = ({ csrf, language, redirectTo }) => {
  const place = useRef<HTMLInputElement>(null)
  const remember = (): void => {
    if (place.current !== null) place.current.value = redirectTo()
  }
  return (
    <form method="post" action="/admin/login/language" onSubmit={remember} data-testid="languages">
      <input type="hidden" name="_csrf" value={csrf} />
      <input type="hidden" name="redirectTo" defaultValue="" ref={place} />
      {Object.entries(NAMES)
        .filter(([code]) => code !== language)
        .map(([code, name]) => (
          <button
            key={code}
            type="submit"
            name="language"
            value={code}
            lang={code}
            style={{
              font: 'inherit',
              fontSize: 14,
              padding: '4px 8px',
              border: 0,
              background: 'none',
              color: LINK,
              cursor: 'pointer',
            }}
          >
            {name}
          </button>
        ))}
    </form>
  )
}
