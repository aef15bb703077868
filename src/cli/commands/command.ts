/** What every command file gives: its place in the usage, and the work that its arguments ask for. */
import type { Argv } from 'yargs'
import type { Session } from '../session.ts'

/** What a command does. It prints its result itself; it fails by throwing. */
export type Work = (session: Session) => Promise<void>

/** Takes the work of the command that was called. */
export type Choose = (work: Work) => void

/** Adds commands to the command line. */
export type Register = (program: Argv, choose: Choose) => Argv

/** A comma-separated list, without blanks; `undefined` stays. */
export function listOf(text: string | undefined): readonly string[] | undefined {
  return text
    ?.split(',')
    .map(each => each.trim())
    .filter(Boolean)
}

/** Refuses what is not a whole number of at least one, before the command starts. */
export function wholeNumber(name: string): (value: number | undefined) => number | undefined {
  return value => {
    if (value === undefined || (Number.isInteger(value) && value >= 1)) return value
    throw new Error(`--${name} must be a whole number of at least 1.`)
  }
}

/** The options given, without those that were not. */
export function given<T extends Readonly<Record<string, unknown>>>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
