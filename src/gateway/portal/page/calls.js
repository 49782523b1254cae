// The async calls that this tab has submitted, each with a way to cancel it. The gateway lists none, so what is shown is what
// it has answered here: that it took a call, and what it said to its cancellation. No bodies, no headers.

import { byId, make, messageOf, say } from './dom.js'
import { cancelCall } from './gateway.js'
import { clock } from './text.js'

/** @typedef {import('./gateway.js').FunctionStatus} FunctionStatus */
/** @typedef {'accepted' | 'cancelled' | 'over'} CallState */
/** @typedef {{ id: string, of: string, at: string, state: CallState }} AsyncCall */

const KEPT_MAX = 50
/** Of this tab alone, and gone with it. */
const STORED = 'async-calls'
/** @type {Record<CallState, string>} */
const WORDS = { accepted: 'Accepted', cancelled: 'Cancelled', over: 'No longer queued or running' }

export class AsyncCallList {
  /** The newest first. @type {AsyncCall[]} */
  #calls = stored()
  #shown = ''

  /** @param {FunctionStatus} shown */
  open(shown) {
    this.#shown = nameOf(shown)
    this.#draw()
  }

  /** @param {FunctionStatus} shown @param {string} id */
  add(shown, id) {
    this.#calls.unshift({ id, of: nameOf(shown), at: new Date().toISOString(), state: 'accepted' })
    this.#calls.length = Math.min(this.#calls.length, KEPT_MAX)
    this.#keep()
  }

  #keep() {
    sessionStorage.setItem(STORED, JSON.stringify(this.#calls))
    this.#draw()
  }

  #draw() {
    const own = this.#calls.filter((call) => call.of === this.#shown)
    byId('async-calls').hidden = own.length === 0
    byId('async-rows').replaceChildren(...own.map((call) => this.#row(call)))
  }

  /** @param {AsyncCall} call */
  #row(call) {
    const { id, at, state } = call
    const row = make('li', {}, make('time', { datetime: at }, clock(at)), make('code', {}, id))
    row.append(make('span', { class: 'state', 'data-state': state }, WORDS[state]))
    if (state !== 'accepted') return row
    const cancel = make('button', { type: 'button', 'aria-label': `Cancel call ${id}` }, 'Cancel')
    cancel.addEventListener('click', () => void this.#cancel(call, row, cancel))
    row.append(cancel)
    return row
  }

  /** @param {AsyncCall} call @param {HTMLElement} row @param {HTMLButtonElement} button */
  async #cancel(call, row, button) {
    button.disabled = true
    try {
      call.state = (await cancelCall(call.id)) ? 'cancelled' : 'over'
    } catch (error) {
      button.disabled = false
      row.querySelector('.error')?.remove()
      row.append(make('span', { class: 'error', role: 'alert' }, messageOf(error)))
      return
    }
    this.#keep()
    say(`Call ${call.id}: ${WORDS[call.state]}.`)
    // The button that had the focus is gone.
    const next = byId('async-rows').querySelector('button') ?? byId('async-title')
    next.focus()
  }
}

/** @param {{ name: string, namespace: string }} shown */
function nameOf({ name, namespace }) {
  return `${name}.${namespace}`
}

/** @returns {AsyncCall[]} */
function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? '[]')
  } catch {
    return []
  }
}
