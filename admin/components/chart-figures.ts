/** Numbers, sizes, days and scales as the charts show them. */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** `1.2 MB`: decimal units, as disks are sold. */
export function bytesText(bytes: number, language: string): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, Math.abs(bytes))) / 3))
  const digits = power === 0 ? 0 : 1
  return `${(bytes / 1000 ** power).toLocaleString(language, { maximumFractionDigits: digits, minimumFractionDigits: digits })} ${UNITS[power]}`
}

/** `+12 %`, of what was there before. */
export function changeText(now: number, before: number, language: string): string {
  if (before === 0) return now === 0 ? '±0 %' : '+∞'
  const share = (now - before) / before
  return share.toLocaleString(language, { style: 'percent', signDisplay: 'always', maximumFractionDigits: Math.abs(share) < 0.1 ? 1 : 0 })
}

/** `31 Jan`: a day by UTC, wherever one is. */
export function dayText(day: string, language: string): string {
  return new Date(`${day}T00:00:00Z`).toLocaleDateString(language, { timeZone: 'UTC', day: 'numeric', month: 'short' })
}

/** A moment where one is. */
export function timeText(time: string, language: string): string {
  return time === '' ? '–' : new Date(time).toLocaleString(language, { dateStyle: 'medium', timeStyle: 'short' })
}

/** The next round number: 1, 2 or 5 times a power of ten, and whole. */
export function niceCeiling(value: number): number {
  if (value <= 1) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map(each => each * power).find(each => each >= value)!
}

/** Days in steps of seven, from the first: what stands in each is added. */
export function byWeek(days: readonly { readonly day: string; readonly tenants: number }[]): { day: string; tenants: number }[] {
  const weeks: { day: string; tenants: number }[] = []
  for (const [at, { day, tenants }] of days.entries()) {
    if (at % 7 === 0) weeks.push({ day, tenants })
    else weeks.at(-1)!.tenants += tenants
  }
  return weeks
}
