// One row of the list, used for one function after another as the list is scrolled.

import { make, setText } from './dom.js'
import { count } from './text.js'

/** @typedef {import('./gateway.js').FunctionStatus} FunctionStatus */

/** @param {FunctionStatus} shown @returns {readonly [state: string, words: string]} */
export function stateOf({ replicas = 0, availableReplicas = 0 }) {
  if (availableReplicas > 0) return ['ready', 'Ready']
  return replicas > 0 ? ['starting', 'Starting'] : ['zero', 'Scaled to zero']
}

export class FunctionRow {
  #name = make('bdi')
  #image = make('bdi', { class: 'image' })
  #title = make('span', { class: 'state' }, this.#name)
  #ready = make('span')
  #calls = make('span')
  #rate = make('span', { class: 'rate' })
  element = make(
    'div',
    { class: 'row', role: 'option' },
    this.#title,
    this.#image,
    this.#ready,
    this.#calls,
    this.#rate,
  )

  /** @param {number} index @param {number} height in pixels */
  place(index, height) {
    const { element } = this
    element.id = `row-${index}`
    element.dataset['index'] = String(index)
    element.style.translate = `0 ${index * height}px`
    element.setAttribute('aria-posinset', String(index + 1))
  }

  /** @param {FunctionStatus} shown @param {{ isActive: boolean, isOpen: boolean, of: number, perSecond: number }} list */
  fill(shown, { isActive, isOpen, of, perSecond }) {
    const { element } = this
    const { name, image, replicas = 0, availableReplicas = 0, invocationCount = 0 } = shown
    const [state, words] = stateOf(shown)
    const calls = count(invocationCount)
    element.classList.toggle('active', isActive)
    element.setAttribute('aria-selected', String(isOpen))
    element.setAttribute('aria-setsize', String(of))
    element.setAttribute(
      'aria-label',
      `${name}, ${words}, ${availableReplicas} of ${replicas} replicas, ${calls} calls`,
    )
    this.#title.dataset['state'] = state
    setText(this.#name, name)
    setText(this.#image, image)
    setText(this.#ready, replicas === 0 ? '0' : `${availableReplicas}/${replicas}`)
    setText(this.#calls, calls)
    this.#calls.classList.toggle('none', invocationCount === 0)
    setText(this.#rate, perSecond === 0 ? '' : `${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s`)
  }
}
