/** Colours of our own text and lines, readable on what is behind them in the light and in the dark. */
import { isDark } from './dark.ts'

export const TEXT = isDark ? '#e6eaf0' : '#3b4454'
export const SOFT = isDark ? '#98a3b0' : '#5a6478'
export const LINK = isDark ? '#9fb1ff' : '#3040d6'
export const LINE = isDark ? '#3f4954' : '#c7cdd9'
export const FAILED = isDark ? '#ff8d96' : '#c20012'
