/**
 * The panel in the dark: where the browser asks for it, AdminJS's own theme gets other colours before anything is drawn.
 *
 * AdminJS computes with its colours, so that they cannot be left to CSS. `white` is what stands behind and, on a button, before: it is dark
 * here, and `black` is light.
 */
const DARK = {
  border: '#323b47',
  text: '#e6eaf0',
  primary100: '#9fb1ff',
  primary80: '#8296f0',
  primary60: '#5566b8',
  primary40: '#3b4780',
  primary20: '#272f52',
  accent: '#c3bde0',
  grey100: '#e6eaf0',
  grey80: '#bac3ce',
  grey60: '#98a3b0',
  grey40: '#8f9aa8',
  grey20: '#232a33',
  white: '#1a1f26',
  black: '#ffffff',
  errorDark: '#ff9aa2',
  error: '#ff8d96',
  errorLight: '#43212a',
  successDark: '#6fd3c3',
  success: '#6fd3c3',
  successLight: '#173a38',
  warningDark: '#f0b27f',
  warning: '#f0b27f',
  warningLight: '#40301f',
  infoDark: '#9fb1ff',
  info: '#9fb1ff',
  infoLight: '#2a3358',
  bg: '#12161b',
  filterBg: '#1f252d',
  container: '#1a1f26',
  sidebar: '#1a1f26',
  inputBorder: '#7a8593',
  separator: '#3f4954',
  highlight: '#262e38',
}

/** Whether the browser asks for dark colours. A change is seen when the next page is loaded. */
export const isDark = typeof window !== 'undefined' && window.matchMedia('(prefers-color-scheme: dark)').matches

const { THEME } = globalThis as { THEME?: { colors?: object; borders?: Record<string, unknown> } }
if (isDark && THEME?.colors !== undefined) {
  Object.assign(THEME.colors, DARK)
  // They hold the light colour already.
  for (const [name, border] of Object.entries(THEME.borders ?? {}))
    if (typeof border === 'string' && THEME.borders !== undefined) THEME.borders[name] = border.replace(/#[0-9a-f]+/i, DARK.border)
  document.documentElement.style.colorScheme = 'dark'
  document.documentElement.style.background = DARK.bg
}
