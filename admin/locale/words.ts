/** What the words of the panel look like: a tree for each language, with the keys of AdminJS's own translations. */

/** The languages of the panel, the first one for who asks for none of them. */
export const LANGUAGES = ['en', 'es'] as const
export type Language = (typeof LANGUAGES)[number]

/** Texts by key, to any depth; `{{name}}` stands for a value. */
export interface Tree {
  readonly [key: string]: string | Tree
}

/** The same keys in each language. */
export type Words = Readonly<Record<Language, Tree>>

/** Sentences that components ask for by `translateMessage`, as a tree. */
export function asMessages(sentences: Words): Words {
  return { en: { messages: sentences.en }, es: { messages: sentences.es } }
}

/** Whether it is one of the panel's languages. */
export function isLanguage(given: unknown): given is Language {
  return LANGUAGES.some(language => language === given)
}
