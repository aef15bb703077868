/**
 * Where a command writes. The result goes to standard output, everything said on the way to standard error; colours only where they are wanted.
 */
import { stripVTControlCharacters, styleText } from 'node:util'
import { startProgress, type Progress } from './progress.ts'

/** The outside world of a command line; tests and scripts pass their own. */
export interface CliIo {
  /** Takes the result: with `--json` exactly one JSON document. */
  readonly stdout: (text: string) => void
  /** Takes progress, warnings and problems. */
  readonly stderr: (text: string) => void
  /** The environment variables. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where the search for the configuration begins. */
  readonly cwd: string
  /** Whether the result may be coloured. */
  readonly colour: boolean
  /** Whether progress and problems may be coloured. */
  readonly errorColour: boolean
  /** The widest line of a usage text and of a progress bar, in characters. */
  readonly columns: number
  /** Whether somebody watches standard error, so that a progress bar may be drawn over itself. Default false: lines now and then. */
  readonly watched?: boolean
  /** Ends the command early; the reason is the exit code. */
  readonly signal?: AbortSignal
}

type Style = Parameters<typeof styleText>[0]

/** To the begin of the line, and empties it. */
const CLEAR = '\r\u001b[2K'

/** The voice of one command. */
export class Output {
  readonly json: boolean
  readonly #io: CliIo
  /** The bar that stands on the last line of the terminal. */
  #bar: string | undefined
  #closed = false

  constructor(io: CliIo, json: boolean) {
    this.#io = io
    this.json = json
  }

  /** The result, in one of two forms: the JSON document, or the lines for a human. */
  result(document: unknown, lines: () => readonly string[]): void {
    if (this.json) this.#io.stdout(`${JSON.stringify(document, undefined, 2)}\n`)
    else
      this.#io.stdout(
        lines()
          .map(line => `${line}\n`)
          .join(''),
      )
  }

  /** A line on standard error, above the bar if one is drawn. */
  say(line: string): void {
    this.#io.stderr(this.#bar === undefined ? `${line}\n` : `${CLEAR}${line}\n${this.#bar}`)
  }

  /**
   * Shows on standard error how far a command has come: a bar on a terminal, else lines. Whoever starts it ends it.
   *
   * @example
   * const progress = output.progress('Migrating', 'tenants', slugs.length)
   * for (const slug of slugs) progress.step(slug, await migrate(slug))
   * progress.end()
   */
  progress(title: string, unit: string, total: number): Progress {
    const draw = (bar: string | undefined): void => {
      if (this.#closed || (bar === undefined && this.#bar === undefined)) return
      this.#io.stderr(`${CLEAR}${bar ?? ''}`)
      this.#bar = bar
    }
    return startProgress({
      title,
      unit,
      total,
      columns: this.#io.columns,
      say: line => void (this.#closed || this.say(line)),
      draw: this.#io.watched === true ? draw : undefined,
      paint: (style, text) => this.paintError(style, text),
    })
  }

  /** Takes away a bar that nobody ended: the command was interrupted. What still goes on shows no more progress. */
  close(): void {
    this.#closed = true
    if (this.#bar !== undefined) this.#io.stderr(CLEAR)
    this.#bar = undefined
  }

  /** A part of the result, coloured where that is possible. */
  paint(style: Style, text: string): string {
    return !this.json && this.#io.colour ? styleText(style, text, { validateStream: false }) : text
  }

  /** The same for standard error. */
  paintError(style: Style, text: string): string {
    return this.#io.errorColour ? styleText(style, text, { validateStream: false }) : text
  }
}

/** Columns of equal width, with a heading. No row gives no line. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return []
  const all = [heading, ...rows]
  const widths = heading.map((_, column) => Math.max(...all.map(row => width(row[column] ?? ''))))
  return all.map(row =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - width(cell)))
      .join('  ')
      .trimEnd(),
  )
}

/** Names and values, one a line. What is not there is left out. */
export function pairs(values: Readonly<Record<string, unknown>>): string[] {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined)
  const longest = Math.max(0, ...given.map(([name]) => name.length))
  return given.map(([name, value]) => `${name.padEnd(longest)}  ${cell(value)}`)
}

/** A value of a JSON document for a human. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function width(text: string): number {
  return stripVTControlCharacters(text).length
}
