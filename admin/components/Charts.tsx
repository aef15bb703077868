/**
 * The charts of the first page. Bars stand in tables, which read as what they are; a chart over time is a picture with a title, a sentence
 * that says what it shows, and its table below. Nothing is told by colour alone.
 */
import React, { useEffect, useId, useRef, useState } from 'react'
import { niceCeiling } from './chart-figures.ts'

/** One bar. */
export interface Bar {
  readonly key: string
  readonly label: React.ReactNode
  readonly value: number
  readonly text: string
  readonly note?: React.ReactNode
  readonly other?: boolean
}

/** A card with a heading. */
export const Card: React.FC<{ title: string; isFull?: boolean; name: string; children: React.ReactNode }> = props => {
  const id = useId()
  return (
    <section className={`tk-card${props.isFull === true ? ' tk-full' : ''}`} aria-labelledby={id} data-testid={props.name}>
      <h3 id={id}>{props.title}</h3>
      {props.children}
    </section>
  )
}

/** Bars, one below the other, the longest over the whole width. */
export const BarTable: React.FC<{ heads: readonly string[]; bars: readonly Bar[] }> = ({ heads, bars }) => {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  const hasNotes = bars.some(({ note }) => note !== undefined)
  return (
    <table className="tk-bars">
      <thead className="tk-hidden">
        <tr>
          <th scope="col">{heads[0]}</th>
          <td />
          {heads.slice(1).map(head => (
            <th key={head} scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {bars.map(({ key, label, value, text, note, other }) => (
          <tr key={key}>
            <th scope="row">{label}</th>
            <td className="tk-track" aria-hidden="true">
              <div>
                <i className={other === true ? 'tk-two' : ''} style={{ width: `${(value / most) * 100}%` }} />
              </div>
            </td>
            <td className="tk-number">{text}</td>
            {hasNotes ? <td className="tk-number tk-soft">{note}</td> : null}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** What a chart over time shows at one place. */
export interface Point {
  readonly label: string
  readonly bar?: number
  readonly line?: number
}

interface TimeChartProps {
  readonly points: readonly Point[]
  /** What it shows, in a sentence. */
  readonly summary: string
  /** The heads of its table: of the places, of the bars, of the line. */
  readonly heads: readonly string[]
  readonly format: (value: number) => string
  readonly showTable: string
}

const HEIGHT = 200
const [TOP, BOTTOM] = [12, 26]

/** Bars, a line, or both over the same time; each has a scale of its own, the bars' at the left and the line's at the right. */
export const TimeChart: React.FC<TimeChartProps> = ({ points, summary, heads, format, showTable }) => {
  const [box, width] = useWidth()
  const bars = points.flatMap(({ bar }) => bar ?? [])
  const lines = points.flatMap(({ line }) => line ?? [])
  const [left, right] = [bars.length > 0 ? 44 : 8, lines.length > 0 ? 76 : 8]
  const inner = Math.max(10, width - left - right)
  const [mostBar, mostLine] = [niceCeiling(Math.max(0, ...bars)), niceCeiling(Math.max(0, ...lines))]
  const step = inner / Math.max(1, points.length)
  const x = (at: number): number => left + step * (at + 0.5)
  const y = (share: number): number => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)
  const drawn = points.flatMap(({ line }, at) => (line === undefined ? [] : [[x(at), y(line / mostLine)] as const]))
  const path = drawn.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(' L')
  const last = drawn.at(-1)
  const shares = mostBar < 2 && bars.length > 0 ? [0, 1] : [0, 0.5, 1]
  return (
    <figure>
      <figcaption className="tk-soft">{summary}</figcaption>
      <div ref={box}>
        <svg role="img" aria-label={summary} height={HEIGHT} viewBox={`0 0 ${Math.max(1, width)} ${HEIGHT}`}>
          {shares.map(share => (
            <g key={share}>
              <line className="tk-grid" x1={left} x2={left + inner} y1={y(share)} y2={y(share)} />
              {bars.length > 0 ? (
                <text x={left - 8} y={y(share) + 4} textAnchor="end">
                  {(mostBar * share).toLocaleString()}
                </text>
              ) : null}
              {lines.length > 0 ? (
                <text x={left + inner + 8} y={y(share) + 4}>
                  {format(mostLine * share)}
                </text>
              ) : null}
            </g>
          ))}
          {bars.length === 0 && path !== '' ? (
            <path className="tk-area" d={`M${drawn[0]![0]},${y(0)} L${path} L${last![0]},${y(0)} Z`} />
          ) : null}
          {points.map(({ label, bar = 0 }, at) =>
            bar === 0 ? null : (
              <rect
                key={label}
                className="tk-bar"
                x={x(at) - Math.max(1, step * 0.36)}
                width={Math.max(2, step * 0.72)}
                y={y(bar / mostBar)}
                height={y(0) - y(bar / mostBar)}
                rx={Math.min(3, step / 6)}
              >
                <title>{`${label}: ${bar.toLocaleString()}`}</title>
              </rect>
            ),
          )}
          {path === '' ? null : <path className="tk-line" d={`M${path}`} />}
          {last === undefined ? null : <circle className="tk-dot" cx={last[0]} cy={last[1]} r={5} />}
          {ticksOf(points.length, inner).map(([at, anchor]) => (
            <text key={at} x={anchor === 'start' ? left : anchor === 'end' ? left + inner : x(at)} y={HEIGHT - 6} textAnchor={anchor}>
              {points[at]!.label}
            </text>
          ))}
        </svg>
      </div>
      {bars.length > 0 && lines.length > 0 ? (
        <p className="tk-legend" aria-hidden="true">
          <span>
            <i className="tk-bar-key" /> {heads[1]}
          </span>
          <span>
            <i className="tk-line-key" /> {heads[2]}
          </span>
        </p>
      ) : null}
      <details>
        <summary>{showTable}</summary>
        <div tabIndex={0} role="group" aria-label={showTable}>
          <table className="tk-rule">
            <thead>
              <tr>
                {heads.map((head, at) => (
                  <th key={head} scope="col" className={at === 0 ? '' : 'tk-number'}>
                    {head}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {points.toReversed().map(({ label, bar, line }) => (
                <tr key={label}>
                  <th scope="row">{label}</th>
                  {bar === undefined ? null : <td className="tk-number">{bar.toLocaleString()}</td>}
                  {line === undefined ? null : <td className="tk-number">{format(line)}</td>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  )
}

/** The places that are named below: the first, the last, and some between where there is room. */
function ticksOf(count: number, width: number): (readonly [at: number, anchor: 'start' | 'middle' | 'end'])[] {
  if (count <= 1) return count === 0 ? [] : [[0, 'middle']]
  const room = Math.max(2, Math.min(count, 7, Math.floor(width / 90)))
  return Array.from({ length: room }, (_, at) => {
    const place = Math.round((at * (count - 1)) / (room - 1))
    return [place, at === 0 ? 'start' : at === room - 1 ? 'end' : 'middle'] as const
  })
}

/** The width of an element, so that what is drawn in it keeps its size. */
function useWidth(): [React.RefObject<HTMLDivElement>, number] {
  const box = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(600)
  useEffect(() => {
    if (box.current === null) return undefined
    const observer = new ResizeObserver(entries => setWidth(Math.round(entries[0]!.contentRect.width)))
    observer.observe(box.current)
    return () => observer.disconnect()
  }, [])
  return [box, width]
}
