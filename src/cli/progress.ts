/**
 * How far a long command has come, on standard error: a bar that is drawn over itself where somebody watches, else now and then a line.
 *
 * What goes wrong on the way is said at once, in both forms; the result is not said here.
 */

/** How far a command has come. Whoever starts it ends it. */
export interface Progress {
  /** One more is done. `problem` says in one line why it failed, if it did. */
  step(name: string, problem?: string): void
  /** More turned up on the way. */
  grow(by: number): void
  /** Says what came of it, and how long it took. */
  end(): void
}

/** What progress is drawn with. */
export interface ProgressOptions {
  /** What is done: `Migrating`. */
  readonly title: string
  /** What is counted: `tenants`. */
  readonly unit: string
  /** How many there are. With none, nothing is said. */
  readonly total: number
  /** Writes a line, above the bar if there is one. */
  readonly say: (line: string) => void
  /** Shows the bar in place of the one before; `undefined` takes it away. Where nobody watches it is absent. */
  readonly draw?: ((bar: string | undefined) => void) | undefined
  readonly paint: (style: 'red' | 'green' | 'dim', text: string) => string
  /** The width of the terminal, in characters. */
  readonly columns: number
  /** Milliseconds of a clock that never goes back. Default `performance.now`. */
  readonly now?: () => number
}

/** How often a bar is drawn at most, in milliseconds. */
const DRAW_MS = 80
/** A line is said after a tenth of the work, and when nothing was said for so long, in milliseconds. */
const LINE_MS = 5_000
const BAR_WIDTH = 24
const NAME_WIDTH = 24

export function startProgress(options: ProgressOptions): Progress {
  return options.draw === undefined ? new Lines(options) : new Bar(options, options.draw)
}

abstract class Counted implements Progress {
  protected readonly options: ProgressOptions
  protected total: number
  protected done = 0
  protected failed = 0
  readonly #began: number

  constructor(options: ProgressOptions) {
    this.options = options
    this.total = options.total
    this.#began = this.now()
  }

  step(name: string, problem?: string): void {
    this.done++
    this.total = Math.max(this.total, this.done)
    if (problem !== undefined) {
      this.failed++
      this.options.say(`${this.options.paint('red', 'failed')} ${name}: ${problem}`)
    }
    this.show(name)
  }

  grow(by: number): void {
    this.total += by
  }

  end(): void {
    if (this.total === 0) return
    const { title, say, paint } = this.options
    const failed = this.failed === 0 ? '' : `, ${paint('red', `${this.failed} failed`)}`
    say(`${title}: ${this.done} of ${this.total} ${this.unit}${failed}, ${seconds(this.elapsedMs)}`)
  }

  protected abstract show(name: string): void

  protected get elapsedMs(): number {
    return this.now() - this.#began
  }

  protected get unit(): string {
    const { unit } = this.options
    return this.total === 1 ? unit.replace(/s$/, '') : unit
  }

  protected get percent(): number {
    return this.total === 0 ? 100 : Math.floor((100 * this.done) / this.total)
  }

  protected now(): number {
    return (this.options.now ?? performance.now.bind(performance))()
  }
}

/** For logs. */
class Lines extends Counted {
  #saidAt = this.now()
  #saidPercent = 0

  protected show(): void {
    const isLast = this.done >= this.total
    const due = this.percent >= this.#saidPercent + 10 || this.now() - this.#saidAt >= LINE_MS
    if (isLast || !due || (this.total < 10 && this.now() - this.#saidAt < LINE_MS)) return
    this.#saidAt = this.now()
    this.#saidPercent = this.percent - (this.percent % 10)
    this.options.say(`${this.options.title}: ${this.done} of ${this.total} ${this.unit} (${this.percent} %)`)
  }
}

/** For terminals. */
class Bar extends Counted {
  readonly #draw: (bar: string | undefined) => void
  #drawnAt = -Infinity

  constructor(options: ProgressOptions, draw: (bar: string | undefined) => void) {
    super(options)
    this.#draw = draw
    if (this.total > 0) this.show('')
  }

  override end(): void {
    this.#draw(undefined)
    super.end()
  }

  protected show(name: string): void {
    const now = this.now()
    if (now - this.#drawnAt < DRAW_MS && this.done < this.total) return
    this.#drawnAt = now
    const { title, paint, columns } = this.options
    const filled = Math.round((BAR_WIDTH * this.percent) / 100)
    const left =
      this.done === 0 || this.done >= this.total ? '' : `, ${seconds((this.elapsedMs / this.done) * (this.total - this.done))} left`
    const failed = this.failed === 0 ? '' : `, ${this.failed} failed`
    const counts = `${this.done}/${this.total} ${this.unit} ${this.percent} %${failed}${left}`
    const plain = title.length + BAR_WIDTH + counts.length + NAME_WIDTH + 4
    // A line that is broken by the terminal could not be drawn over.
    if (plain >= columns) return this.#draw(`${title} ${counts}`.slice(0, columns - 1))
    const bar = paint('green', '█'.repeat(filled)) + paint('dim', '░'.repeat(BAR_WIDTH - filled))
    this.#draw(`${title} ${bar} ${counts} ${paint('dim', name.slice(0, NAME_WIDTH))}`.trimEnd())
  }
}

function seconds(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const whole = Math.round(ms / 1000)
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}
