/** The words of a page in the language of the panel. */
import { useTranslation } from 'adminjs'

/** A sentence of the dashboard by its name, with values in it. */
export type Say = (name: string, values?: Readonly<Record<string, string | number>>) => string

/** The sentences of the dashboard, and the language for numbers and dates. */
export function useWords(): { readonly say: Say; readonly language: string } {
  const { translateMessage, i18n } = useTranslation()
  const { language = 'en' } = i18n as { language?: string }
  return { language, say: (name, values = {}) => translateMessage(`dashboard${name}`, values as never) }
}
