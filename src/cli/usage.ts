/** What is said about a command line that is not understood: what was typed, and what was probably meant. */

/** A wrong usage, in words. */
export interface UsageProblem {
  readonly message: string
  readonly hint: string
}

const SEE_HELP = 'See `tenantkit --help`, or `tenantkit <command> --help`.'
const UNKNOWN = /^Unknown (?:arguments?|commands?): (.+)$/

/**
 * Turns the parser's message into one that names what is wrong, with the nearest command or option.
 *
 * @param help The usage text that is shown with it: what stands there is what may be meant.
 */
export function usageProblem(message: string, argv: readonly string[], help: string): UsageProblem {
  const unknown = UNKNOWN.exec(message)?.[1]?.split(', ')
  if (unknown === undefined) return { message, hint: SEE_HELP }
  const options = unknown.filter(name => argv.some(each => new RegExp(`^--?${escaped(name)}(=|$)`).test(each)))
  const word = unknown.find(name => !options.includes(name))
  const commands = commandsIn(help)
  if (word !== undefined && commands.length > 0) {
    const meant = nearest(
      word,
      commands.map(each => each.split(' ').at(-1)!),
    )
    const command = commands.find(each => each.split(' ').at(-1) === meant)
    return { message: `There is no command "${word}".`, hint: didYouMean(command === undefined ? undefined : `tenantkit ${command}`) }
  }
  if (word !== undefined) return { message: `The argument "${word}" is one too many.`, hint: SEE_HELP }
  const [option = ''] = options
  const meant = nearest(option, optionsIn(help))
  return { message: `There is no option --${option} here.`, hint: didYouMean(meant === undefined ? undefined : `--${meant}`) }
}

/** The nearest of the candidates, if one is near enough to be meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const longest = Math.max(1, Math.floor(word.length / 3))
  const ranked = candidates
    .map(candidate => ({ candidate, steps: candidate.startsWith(word) && word.length > 2 ? 0 : distance(word, candidate) }))
    .filter(({ steps }) => steps <= longest)
  return ranked.toSorted((a, b) => a.steps - b.steps)[0]?.candidate
}

function didYouMean(meant: string | undefined): string {
  return meant === undefined ? SEE_HELP : `Did you mean \`${meant}\`? ${SEE_HELP}`
}

function commandsIn(help: string): readonly string[] {
  const list = help.split('Commands:\n')[1]?.split('\n\n')[0] ?? ''
  return [...list.matchAll(/^ {2}tenantkit ([a-z: -]+?)(?= {2}| <| \[|$)/gm)].map(([, name]) => name!)
}

function optionsIn(help: string): readonly string[] {
  return [...help.matchAll(/^ +--([a-z][a-z-]*)/gm)].map(([, name]) => name!)
}

function escaped(text: string): string {
  return text.replace(/[^\w-]/g, String.raw`\$&`)
}

/** How many letters were left out, added, replaced or swapped with their neighbour: the optimal string alignment distance. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, index) => index)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      row.push(Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + cost))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1)
    }
  }
  return rows.at(-1)!.at(-1)!
}
