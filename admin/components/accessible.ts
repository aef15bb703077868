/**
 * Mends what AdminJS's own markup leaves out for who does not see the page, or has no mouse: names of fields, of boxes in tables and of buttons
 * that are pictures; and a drawer that is out of sight is out of reach. It looks again whenever the page changes.
 */

/** What is said of things that have no words of their own. */
export interface Names {
  readonly selectAll: string
  /** Begins the name of a row's box. */
  readonly select: string
  readonly close: string
  readonly remove: string
  readonly previous: string
  readonly next: string
}

const UNNAMED = ':not([aria-label]):not([aria-labelledby])'

/** Begins to mend; gives what ends it. */
export function mendMarkup(names: Names): () => void {
  let frame = 0
  const mend = (): void => {
    frame = 0
    mendDrawers()
    mendFields()
    mendBoxes(names)
    mendButtons(names)
    mendRows()
    mendQuestions()
  }
  const soon = (): void => {
    if (frame === 0) frame = requestAnimationFrame(mend)
  }
  const observer = new MutationObserver(soon)
  observer.observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ['class'] })
  document.addEventListener('transitionend', soon)
  document.addEventListener('keydown', onKey)
  mend()
  return () => {
    observer.disconnect()
    document.removeEventListener('transitionend', soon)
    document.removeEventListener('keydown', onKey)
    cancelAnimationFrame(frame)
  }
}

/** It is moved out of the window, and nothing else says that it is closed. */
function mendDrawers(): void {
  for (const drawer of document.querySelectorAll('form[data-css$="-filter-drawer"]'))
    drawer.toggleAttribute('inert', new DOMMatrix(getComputedStyle(drawer).transform).m41 > 1)
}

/** Fields have their label beside them, and not always as theirs. */
function mendFields(): void {
  const kinds = ['input:not([type=hidden]):not([type=checkbox]):not([type=submit])', 'textarea', 'select']
  for (const field of document.querySelectorAll<HTMLInputElement>(kinds.map(kind => kind + UNNAMED).join())) {
    if ((field.labels?.length ?? 0) > 0) continue
    for (let group = field.parentElement; group !== null && group !== document.body; group = group.parentElement) {
      const text = group
        .querySelector('label')
        ?.textContent?.replace(/^\s*\*/, '')
        .trim()
      if (!text) continue
      field.setAttribute('aria-label', text)
      break
    }
  }
}

function mendBoxes({ select, selectAll }: Names): void {
  for (const box of document.querySelectorAll(`table input[type=checkbox]${UNNAMED}`)) {
    const row = box.closest<HTMLElement>('tr[data-id]')
    const cells = [...(row?.querySelectorAll('td[data-property-name]:not([data-property-name=deleted_status])') ?? [])]
    const title = cells.map(cell => cell.textContent?.trim()).find(text => text)
    box.setAttribute('aria-label', row === null ? selectAll : `${select} ${title ?? ''}`.trim())
  }
}

function mendButtons({ close, remove, previous, next }: Names): void {
  for (const button of document.querySelectorAll(`button${UNNAMED}, a[href]${UNNAMED}`)) {
    if (button.textContent?.trim()) continue
    const pages = button.closest('.adminjs_Pagination')
    if (pages !== null) button.setAttribute('aria-label', pages.querySelector('a, button') === button ? previous : next)
    // The words of a question's buttons are drawn by the style sheet.
    else button.setAttribute('aria-label', button.getAttribute('label') ?? (button.matches('[data-testid="delete-item"]') ? remove : close))
  }
}

/** A row opens its record by a click; so it does by Enter. */
function mendRows(): void {
  for (const row of document.querySelectorAll<HTMLElement>('[data-css$="-table-body"] tr[data-id]:not([tabindex])')) row.tabIndex = 0
}

/** A question takes the focus, keeps it, and goes by Escape. */
function mendQuestions(): void {
  for (const label of document.querySelectorAll('.modal-label')) {
    const question = label.parentElement
    if (question === null || question.getAttribute('role') === 'dialog') continue
    question.setAttribute('role', 'dialog')
    question.setAttribute('aria-modal', 'true')
    question.setAttribute('aria-label', question.querySelector('h5')?.textContent ?? label.textContent ?? '')
    // What does nothing first: Enter must not be the answer by mistake.
    question.querySelector<HTMLElement>('button[label]')?.focus()
  }
}

function onKey(event: KeyboardEvent): void {
  const question = document.querySelector('.modal-label')?.parentElement
  if (question != null) {
    const buttons = [...question.querySelectorAll('button')]
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement)
    if (event.key === 'Escape') question.querySelector<HTMLElement>('.close-button')?.click()
    if (event.key !== 'Tab') return
    event.preventDefault()
    buttons.at((at + (event.shiftKey ? -1 : 1)) % buttons.length)?.focus()
  } else if (event.key === 'Enter') openRow(event.target)
}

function openRow(target: EventTarget | null): void {
  if (!(target instanceof HTMLElement) || !target.matches('tr[data-id]')) return
  target.querySelector<HTMLElement>('td[data-property-name]')?.click()
}
