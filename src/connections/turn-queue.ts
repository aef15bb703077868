/** A queue whose groups take turns: first come, first served within a group, and no group twice while another one waits. */
export class TurnQueue<T> {
  /** In the order of their turns. */
  readonly #groups = new Map<string, T[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Who is next. */
  head(): T | undefined {
    for (const group of this.#groups.values()) return group[0]
    return undefined
  }

  add(group: string, item: T): void {
    const items = this.#groups.get(group)
    if (items === undefined) this.#groups.set(group, [item])
    else items.push(item)
    this.#size++
  }

  /** Takes out who is next; the group goes to the end. */
  shift(): T | undefined {
    for (const [group, items] of this.#groups) {
      const item = items.shift()
      this.#groups.delete(group)
      if (items.length > 0) this.#groups.set(group, items)
      this.#size--
      return item
    }
    return undefined
  }

  /** Takes one out, wherever it stands; a group that is left keeps its turn. */
  remove(group: string, item: T): void {
    const items = this.#groups.get(group)
    const index = items?.indexOf(item) ?? -1
    if (items === undefined || index < 0) return
    items.splice(index, 1)
    if (items.length === 0) this.#groups.delete(group)
    this.#size--
  }
}
