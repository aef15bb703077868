/** The rows of a report: what is in the JSON document, and what is printed. */
import { availableParallelism, cpus, totalmem } from 'node:os'
import { summarize, type Pair } from './statistics.ts'

/** What a row has to reach. */
export interface Goal {
  readonly op: '>=' | '<='
  readonly value: number
}

/** Figures that stand beside a row's own. */
export type Details = Readonly<Record<string, number | string | readonly number[]>>

/** One row: `a` is ours, `b` is what it is held against. */
export interface Row {
  readonly name: string
  readonly ratio: number
  readonly goal: Goal | null
  /** `null` without a goal; `false` only if the whole spread misses it. */
  readonly met: boolean | null
  readonly spread: readonly [low: number, high: number]
  readonly a: number
  readonly b: number
  /** Of `a` and `b`. */
  readonly unit: string
  readonly rounds: number
  readonly details: Details
}

/** What a row is made from. */
export interface RowInput {
  readonly name: string
  readonly unit: string
  readonly goal?: Goal | undefined
  readonly pairs: readonly Pair[]
  readonly details?: Details
}

/** The machine, the server and the run. */
export type Machine = Readonly<Record<string, string | number | boolean>>

/** What `--json` prints. */
export interface BenchDocument {
  readonly machine: Machine
  readonly rows: readonly Row[]
}

/** A row from its paired rounds. @throws RangeError without rounds */
export function rowOf({ name, unit, goal, pairs, details = {} }: RowInput): Row {
  const { ratio, spread, a, b, rounds } = summarize(pairs)
  const given = goal ?? null
  return { name, ratio, goal: given, met: isMet(given, spread), spread, a, b, unit, rounds, details }
}

/** Whether a goal is met: a spread that touches it does not miss it. */
export function isMet(goal: Goal | null, [low, high]: readonly [number, number]): boolean | null {
  if (goal === null) return null
  return goal.op === '>=' ? high >= goal.value : low <= goal.value
}

/** Numbers cut to six digits: more would be noise. */
export function toJson(document: BenchDocument): string {
  const cut = (_key: string, value: unknown): unknown => (typeof value === 'number' ? Number(value.toPrecision(6)) : value)
  return `${JSON.stringify(document, cut, 2)}\n`
}

/** What is known of the machine. */
export function machineOf(more: Machine): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gb: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    ...more,
  }
}

/** One line for each row. */
export function toTable(rows: readonly Row[]): string {
  const cells = rows.map(row => [
    row.name,
    row.ratio.toFixed(3),
    `${row.spread[0].toFixed(3)} … ${row.spread[1].toFixed(3)}`,
    row.goal === null ? '–' : `${row.goal.op} ${row.goal.value}`,
    row.met === null ? '–' : row.met ? 'met' : 'MISSED',
    `${row.a.toPrecision(4)} : ${row.b.toPrecision(4)} ${row.unit}`,
  ])
  const table = [['row', 'ratio', 'spread', 'goal', '', 'a : b'], ...cells]
  const widths = table[0]!.map((_, column) => Math.max(...table.map(line => line[column]!.length)))
  return table
    .map(line =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
