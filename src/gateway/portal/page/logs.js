// The log of one function as it is printed, in a bounded number of lines. What it prints is shown, never obeyed.

import { byId, make, messageOf, setText } from './dom.js'
import { Refused, followLogs } from './gateway.js'
import { clock, styledParts } from './text.js'

/** @typedef {import('./gateway.js').FunctionStatus} FunctionStatus */
/** @typedef {{ timestamp: string, instance: string, text: string }} Line */

const LINES_MAX = 2000
const TAIL = '500'
const AGAIN_MS = 2000
/** From the end, within which the reader counts as being at the end. */
const END_PX = 24

export class LogView {
  #log = byId('log')
  #follow = /** @type {HTMLInputElement} */ (byId('log-follow'))
  /** @type {AbortController | undefined} */
  #running
  /** Not yet drawn. @type {HTMLElement[]} */
  #pending = []
  #filter = ''

  constructor() {
    const filter = /** @type {HTMLInputElement} */ (byId('log-filter'))
    filter.addEventListener('input', () => this.#filterBy(filter.value))
    byId('log-clear').addEventListener('click', () => this.#clear())
    this.#follow.addEventListener('change', () => this.#toEnd())
    // Whoever scrolls up wants to read; whoever comes back to the end wants to follow.
    this.#log.addEventListener('scroll', () => (this.#follow.checked = this.#isAtEnd), { passive: true })
  }

  /** @param {FunctionStatus} shown */
  start(shown) {
    this.stop()
    this.#clear()
    this.#follow.checked = true
    this.#running = new AbortController()
    void this.#run(shown, this.#running.signal)
  }

  stop() {
    this.#running?.abort()
    this.#running = undefined
  }

  get #isAtEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < END_PX
  }

  /** Until it is stopped: a stream that ends is taken up where it ended. @param {FunctionStatus} shown @param {AbortSignal} signal */
  async #run(shown, signal) {
    const place = new Place()
    while (!signal.aborted) {
      try {
        this.#state('following')
        for await (const line of followLogs(shown, place.resume(), signal)) if (place.isNew(line)) this.#add(line)
      } catch (error) {
        if (signal.aborted) return
        this.#state(messageOf(error))
        // What the gateway refuses now it refuses in two seconds too.
        if (error instanceof Refused) return
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
    }
  }

  /** @param {string} text */
  #state(text) {
    setText(byId('log-state'), text)
  }

  /** @param {Line} line */
  #add({ timestamp, instance, text }) {
    const parts = styledParts(text).map(({ text: part, style }) =>
      style === '' ? part : make('span', { class: style }, part),
    )
    const line = make(
      'p',
      {},
      make('time', { title: timestamp }, clock(timestamp)),
      make('i', {}, instance),
      make('bdi', {}, ...parts),
    )
    line.hidden = !this.#matches(line)
    if (this.#pending.push(line) === 1) requestAnimationFrame(() => this.#draw())
    if (this.#pending.length > LINES_MAX) this.#pending.splice(1, this.#pending.length - LINES_MAX)
  }

  #draw() {
    this.#log.append(...this.#pending.splice(0))
    while (this.#log.children.length > LINES_MAX) this.#log.firstElementChild?.remove()
    this.#toEnd()
  }

  #toEnd() {
    if (this.#follow.checked) this.#log.scrollTop = this.#log.scrollHeight
  }

  #clear() {
    this.#pending.length = 0
    this.#log.replaceChildren()
  }

  /** @param {string} text */
  #filterBy(text) {
    this.#filter = text.toLowerCase()
    for (const line of /** @type {NodeListOf<HTMLElement>} */ (this.#log.querySelectorAll('p')))
      line.hidden = !this.#matches(line)
    this.#toEnd()
  }

  /** @param {HTMLElement} line */
  #matches(line) {
    return line.textContent?.toLowerCase().includes(this.#filter) ?? false
  }
}

/** How far a log has been read. The gateway sends the newest instant again, and lines of one instant are told apart by all they have. */
class Place {
  #newest = ''
  /** Lines of the newest instant. @type {Set<string>} */
  #latest = new Set()
  /** Those that were there before the stream was taken up again. @type {Set<string>} */
  #known = new Set()

  /** @returns {Record<string, string>} */
  resume() {
    this.#known = new Set(this.#latest)
    return this.#newest === '' ? { tail: TAIL } : { since: this.#newest }
  }

  /** @param {Line} line */
  isNew(line) {
    const { timestamp } = line
    if (timestamp < this.#newest) return false
    const text = JSON.stringify(line)
    if (this.#known.delete(text)) return false
    if (timestamp > this.#newest) this.#latest.clear()
    this.#newest = timestamp
    this.#latest.add(text)
    return true
  }
}
