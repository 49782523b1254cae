// The list of functions: only the rows that can be seen exist, so that thousands cost no more than a screenful.

import { byId, setText } from './dom.js'
import { FunctionRow } from './function-row.js'
import { count } from './text.js'

/** @typedef {import('./gateway.js').FunctionStatus} FunctionStatus */

/** `orders-2` before `orders-10`. */
const NAMES = new Intl.Collator('en', { numeric: true })
const ROWS_BEYOND = 6
/** Of the newest measurement in the shown rate. */
const RATE_WEIGHT = 0.5

/** @type {Record<string, (a: FunctionStatus, b: FunctionStatus) => number>} */
const ORDERS = {
  name: () => 0,
  replicas: (a, b) => (b.replicas ?? 0) - (a.replicas ?? 0),
  calls: (a, b) => (b.invocationCount ?? 0) - (a.invocationCount ?? 0),
}

export class FunctionList {
  #rows = byId('rows')
  #sheet = byId('sheet')
  /** As many as can be seen. @type {FunctionRow[]} */
  #drawn = []
  /** @type {FunctionStatus[]} */
  #all = []
  /** @type {FunctionStatus[]} */
  #shown = []
  /** Calls and calls per second by name. @type {Map<string, { calls: number, at: number, rate: number }>} */
  #rates = new Map()
  #filter = ''
  #order = 'name'
  /** Where the arrow keys are. */
  #active = 0
  /** @type {string | undefined} */
  #opened
  #open

  /** @param {(shown: FunctionStatus) => void} open */
  constructor(open) {
    this.#open = open
    this.#rows.addEventListener('scroll', () => this.#draw(), { passive: true })
    this.#rows.addEventListener('keydown', (event) => this.#key(event))
    this.#rows.addEventListener('click', (event) => this.#click(event))
    new ResizeObserver(() => this.#draw()).observe(this.#rows)
    for (const button of document.querySelectorAll('[data-order]'))
      button.addEventListener('click', () => this.#sortBy(button))
  }

  /** @param {FunctionStatus[]} all */
  update(all) {
    this.#measure(all)
    this.#all = all
    this.#select()
  }

  /** Of another namespace nothing is known yet. */
  forget() {
    this.#rates.clear()
    this.#active = 0
    this.update([])
  }

  /** @param {string} text */
  filter(text) {
    this.#filter = text.trim().toLowerCase()
    this.#active = 0
    this.#rows.scrollTop = 0
    this.#select()
  }

  /** @param {string | undefined} name */
  markOpened(name) {
    this.#opened = name
    const index = this.#shown.findIndex((one) => one.name === name)
    if (index !== -1) this.#active = index
    this.#draw()
  }

  openActive() {
    const shown = this.#shown[this.#active]
    if (shown !== undefined) this.#open(shown)
  }

  focus() {
    this.#rows.focus()
  }

  /** @param {FunctionStatus[]} all */
  #measure(all) {
    const at = performance.now()
    const before = this.#rates
    this.#rates = new Map()
    for (const { name, invocationCount: calls = 0 } of all) {
      const last = before.get(name)
      const now = last === undefined ? 0 : Math.max(0, ((calls - last.calls) * 1000) / Math.max(1, at - last.at))
      const rate = last === undefined ? 0 : now * RATE_WEIGHT + last.rate * (1 - RATE_WEIGHT)
      this.#rates.set(name, { calls, at, rate: rate < 0.05 ? 0 : rate })
    }
  }

  /** @param {Element} button */
  #sortBy(button) {
    this.#order = button.getAttribute('data-order') ?? 'name'
    for (const one of document.querySelectorAll('[data-order]'))
      one.setAttribute('aria-pressed', String(one === button))
    this.#select()
  }

  #select() {
    const compare = ORDERS[this.#order] ?? (() => 0)
    this.#shown = this.#all
      .filter(
        ({ name, image }) => name.toLowerCase().includes(this.#filter) || image.toLowerCase().includes(this.#filter),
      )
      .sort((a, b) => compare(a, b) || NAMES.compare(a.name, b.name))
    this.#active = Math.min(this.#active, Math.max(0, this.#shown.length - 1))
    byId('nothing').hidden = this.#shown.length > 0 || this.#all.length === 0
    const [shown, all] = [count(this.#shown.length), count(this.#all.length)]
    const noun = this.#all.length === 1 ? 'function' : 'functions'
    setText(byId('count'), this.#filter === '' ? `${all} ${noun}` : `${shown} of ${all} ${noun}`)
    this.#draw()
  }

  get #rowHeight() {
    return Number.parseFloat(getComputedStyle(document.documentElement).getPropertyValue('--row'))
  }

  #draw() {
    const height = this.#rowHeight
    const first = Math.max(0, Math.floor(this.#rows.scrollTop / height) - ROWS_BEYOND)
    const wanted = Math.ceil(this.#rows.clientHeight / height) + 2 * ROWS_BEYOND
    const last = Math.min(this.#shown.length, first + wanted)
    this.#sheet.style.height = `${this.#shown.length * height}px`
    for (const row of this.#drawn.splice(Math.max(0, last - first))) row.element.remove()
    for (const [offset, shown] of this.#shown.slice(first, last).entries())
      this.#drawRow(offset, first + offset, height, shown)
    if (this.#shown.length > 0) this.#rows.setAttribute('aria-activedescendant', `row-${this.#active}`)
    else this.#rows.removeAttribute('aria-activedescendant')
  }

  /** @param {number} offset @param {number} index @param {number} height @param {FunctionStatus} shown */
  #drawRow(offset, index, height, shown) {
    let row = this.#drawn[offset]
    if (row === undefined) {
      row = new FunctionRow()
      this.#drawn.push(row)
      this.#sheet.append(row.element)
    }
    row.place(index, height)
    row.fill(shown, {
      isActive: index === this.#active,
      isOpen: shown.name === this.#opened,
      of: this.#shown.length,
      perSecond: this.#rates.get(shown.name)?.rate ?? 0,
    })
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const page = Math.max(1, Math.floor(this.#rows.clientHeight / this.#rowHeight) - 1)
    const last = this.#shown.length - 1
    /** @type {Record<string, number>} */
    const targets = {
      ArrowDown: this.#active + 1,
      ArrowUp: this.#active - 1,
      PageDown: this.#active + page,
      PageUp: this.#active - page,
      Home: 0,
      End: last,
    }
    const target = targets[event.key]
    if (event.key === 'Enter' || event.key === ' ') this.openActive()
    else if (target === undefined) return
    else this.#moveTo(Math.max(0, Math.min(last, target)))
    event.preventDefault()
  }

  /** @param {number} index */
  #moveTo(index) {
    this.#active = index
    const top = index * this.#rowHeight
    const { scrollTop, clientHeight } = this.#rows
    if (top < scrollTop) this.#rows.scrollTop = top
    else if (top + this.#rowHeight > scrollTop + clientHeight)
      this.#rows.scrollTop = top + this.#rowHeight - clientHeight
    this.#draw()
  }

  /** @param {Event} event */
  #click({ target }) {
    const row = target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest('.row')) : null
    if (row === null) return
    this.#active = Number(row.dataset['index'])
    this.openActive()
  }
}
