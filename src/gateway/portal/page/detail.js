// The function that is open: its state, its replicas, and three tabs to invoke it, follow its log and see its settings.

import { byId, complain, make, say, setText, showCommand } from './dom.js'
import { functionUrl, scale } from './gateway.js'
import { stateOf } from './function-row.js'
import { Invocation } from './invoke.js'
import { LogView } from './logs.js'
import { when } from './text.js'

/** @typedef {import('./gateway.js').FunctionStatus} FunctionStatus */

export const TABS = ['invoke', 'logs', 'settings']

export class Detail {
  #invocation
  #logs = new LogView()
  /** @type {FunctionStatus | undefined} */
  #shown
  #tab = 'invoke'
  #settings = ''
  #onTab
  #refresh

  /** @param {{ onTab: (tab: string) => void, refresh: () => void }} calls */
  constructor({ onTab, refresh }) {
    this.#onTab = onTab
    this.#refresh = refresh
    this.#invocation = new Invocation(refresh)
    for (const [index, name] of TABS.entries()) {
      const tab = byId(`tab-${name}`)
      tab.addEventListener('click', () => this.#choose(name))
      tab.addEventListener('keydown', ({ key }) => {
        const step = key === 'ArrowRight' ? 1 : key === 'ArrowLeft' ? -1 : 0
        const next = TABS[(index + step + TABS.length) % TABS.length]
        if (step === 0 || next === undefined) return
        this.#choose(next)
        byId(`tab-${next}`).focus()
      })
    }
    byId('scale-down').addEventListener('click', () => void this.#scaleBy(-1))
    byId('scale-up').addEventListener('click', () => void this.#scaleBy(1))
  }

  get shown() {
    return this.#shown
  }

  /** @param {FunctionStatus} shown @param {string} tab */
  open(shown, tab) {
    const isOther = this.#shown?.name !== shown.name || this.#shown.namespace !== shown.namespace
    byId('detail').hidden = false
    if (isOther) {
      this.#logs.stop()
      this.#invocation.open(shown)
      this.#tab = ''
    }
    this.update(shown)
    if (this.#tab !== tab) this.#show(tab)
    if (isOther) byId('detail-name').focus()
  }

  /** As it is now. @param {FunctionStatus} shown */
  update(shown) {
    this.#shown = shown
    const { name, image, replicas = 0, availableReplicas = 0 } = shown
    const [state, words] = stateOf(shown)
    setText(byId('detail-name'), name)
    setText(byId('detail-image'), image)
    setText(byId('detail-state'), words)
    byId('detail-state').dataset['state'] = state
    setText(byId('replicas'), availableReplicas === replicas ? String(replicas) : `${availableReplicas}/${replicas}`)
    const less = /** @type {HTMLButtonElement} */ (byId('scale-down'))
    less.disabled = replicas === 0
    this.#drawSettings(shown)
  }

  close() {
    this.#shown = undefined
    this.#logs.stop()
    this.#invocation.close()
    byId('detail').hidden = true
  }

  /** @param {string} tab */
  #choose(tab) {
    this.#show(tab)
    this.#onTab(tab)
  }

  /** @param {string} tab */
  #show(tab) {
    this.#tab = tab
    for (const name of TABS) {
      byId(`tab-${name}`).setAttribute('aria-selected', String(name === tab))
      byId(`tab-${name}`).tabIndex = name === tab ? 0 : -1
      byId(`panel-${name}`).hidden = name !== tab
    }
    // Only who looks at a log keeps its stream open.
    if (tab === 'logs' && this.#shown !== undefined) this.#logs.start(this.#shown)
    else this.#logs.stop()
  }

  /** @param {number} step */
  async #scaleBy(step) {
    const shown = this.#shown
    if (shown === undefined) return
    const wanted = Math.max(0, (shown.replicas ?? 0) + step)
    try {
      const replicas = await scale(shown, wanted)
      const limits = 'com.openfaas.scale.min, .max and .zero'
      if (replicas === wanted) say(`${shown.name}: ${replicas} replicas wanted.`)
      else complain(`${shown.name} stays at ${replicas}: its labels ${limits} are the limits.`)
    } catch (error) {
      complain(error)
    }
    this.#refresh()
  }

  /** @param {FunctionStatus} shown */
  #drawSettings(shown) {
    const { invocationCount: _, replicas: _1, availableReplicas: _2, ...lasting } = shown
    const text = JSON.stringify(lasting)
    if (text === this.#settings) return
    this.#settings = text
    /** @type {[string, string | undefined][]} */
    const rows = [
      ['Image', shown.image],
      ['Process', shown.envProcess],
      ['Namespace', shown.namespace],
      ['Created', when(shown.createdAt)],
      ['Labels', lines(shown.labels)],
      ['Annotations', lines(shown.annotations)],
      ['Environment', lines(shown.envVars)],
      ['Secrets', shown.secrets?.join('\n')],
      ['Constraints', shown.constraints?.join('\n')],
      ['Limits', lines(shown.limits)],
      ['Requests', lines(shown.requests)],
      ['Root file system', shown.readOnlyRootFilesystem === true ? 'read-only' : undefined],
      ['URL', functionUrl(shown).href],
      ['Async URL', functionUrl(shown, true).href],
    ]
    const pre = make('pre')
    const box = make('dd', {}, make('div', { class: 'command' }, pre))
    showCommand(pre, `curl --data 'hello' ${functionUrl(shown).href}`)
    byId('settings').replaceChildren(
      ...rows
        .filter(([, value]) => value)
        .flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value ?? '')]),
      make('dt', {}, 'From a shell'),
      box,
    )
  }
}

/** @param {Record<string, string> | undefined} map */
function lines(map) {
  return Object.entries(map ?? {})
    .map(([key, value]) => `${key}: ${value}`)
    .join('\n')
}
