/** What a stream may show: colours where they are wanted, a bar that is drawn over itself only where somebody watches. */

/** A stream, as far as it is asked. */
export interface TerminalStream {
  readonly isTTY?: boolean
  readonly columns?: number
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Whether a stream may be coloured. `FORCE_COLOR` decides first (`0` and `false` are a no), then `NO_COLOR` (any text is a no), as in Node;
 * without both, a terminal that is not dumb may.
 *
 * Source: https://no-color.org, https://nodejs.org/api/cli.html#force_color1-2-3
 */
export function wantsColour(stream: TerminalStream, env: Environment): boolean {
  const forced = env['FORCE_COLOR']
  if (forced !== undefined) return forced !== '0' && forced !== 'false'
  if (env['NO_COLOR']) return false
  return stream.isTTY === true && env['TERM'] !== 'dumb'
}

/** Whether somebody watches: a terminal, and no continuous integration, whose log would keep every state of a bar. */
export function isWatched(stream: TerminalStream, env: Environment): boolean {
  const ci = env['CI']
  const isCi = ci !== undefined && ci !== '' && ci !== '0' && ci !== 'false'
  return stream.isTTY === true && env['TERM'] !== 'dumb' && !isCi
}
