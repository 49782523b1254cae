// The dialogs that change what is deployed: deploy, change, remove. What the gateway refuses they show in its own words.

import { byId, make, messageOf, say } from './dom.js'
import { Refused, deploy, listSecrets, remove } from './gateway.js'
import { pairLines, parsePairs } from './text.js'

/** @typedef {import('./gateway.js').FunctionStatus} FunctionStatus */
/** @typedef {import('./gateway.js').Deployment} Deployment */

const MAPS = /** @type {const} */ (['envVars', 'labels', 'annotations'])

export class DeployDialog {
  #dialog = /** @type {HTMLDialogElement} */ (byId('deploy'))
  #form = /** @type {HTMLFormElement} */ (byId('deploy-form'))
  #error = byId('deploy-error')
  /** @type {FunctionStatus | undefined} */
  #before
  /** What was typed for a new function and not sent is still there the next time. */
  #hasDraft = false
  #done

  /** @param {(deployed: { name: string, namespace: string }) => void} done */
  constructor(done) {
    this.#done = done
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#send()
    })
    this.#field('namespace').addEventListener('change', () => void this.#showSecrets())
    closeWithin(this.#dialog)
  }

  /**
   * @param {{ namespace: string, namespaces: readonly string[], before?: FunctionStatus | undefined }} of `before`: it is changed
   */
  open({ namespace, namespaces, before }) {
    this.#before = before
    this.#error.hidden = true
    byId('deploy-title').textContent = before === undefined ? 'Deploy a function' : `Change ${before.name}`
    byId('deploy-send').textContent = before === undefined ? 'Deploy' : 'Deploy changes'
    this.#field('namespace').replaceChildren(...namespaces.map((one) => make('option', {}, one)))
    this.#field('namespace').value = namespace
    this.#field('namespace').disabled = before !== undefined
    this.#field('service').disabled = before !== undefined
    if (before !== undefined || !this.#hasDraft) this.#fill(before)
    this.#hasDraft = before === undefined
    void this.#showSecrets()
    this.#dialog.showModal()
    this.#field(before === undefined ? 'service' : 'image').focus()
  }

  /** @param {FunctionStatus | undefined} before */
  #fill(before) {
    this.#field('service').value = before?.name ?? ''
    this.#field('image').value = before?.image ?? ''
    this.#field('envProcess').value = before?.envProcess ?? ''
    this.#field('secrets').value = before?.secrets?.join(', ') ?? ''
    for (const name of MAPS) this.#field(name).value = pairLines(before?.[name])
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLInputElement} */ (this.#form.elements.namedItem(name))
  }

  async #showSecrets() {
    const known = byId('secrets-known')
    try {
      const names = (await listSecrets(this.#field('namespace').value)).map(({ name }) => name)
      known.textContent =
        names.length === 0 ? 'There are none in this namespace yet.' : `There are: ${names.join(', ')}`
    } catch (error) {
      known.textContent = messageOf(error)
    }
  }

  /** @returns {Deployment} */
  #deployment() {
    const { constraints, limits, requests, readOnlyRootFilesystem } = this.#before ?? {}
    const secrets = this.#field('secrets').value.split(/[\s,]+/)
    return {
      service: this.#field('service').value.trim(),
      namespace: this.#field('namespace').value,
      image: this.#field('image').value.trim(),
      envProcess: this.#field('envProcess').value.trim(),
      envVars: parsePairs(this.#field('envVars').value, 'Environment'),
      labels: parsePairs(this.#field('labels').value, 'Labels'),
      annotations: parsePairs(this.#field('annotations').value, 'Annotations'),
      secrets: secrets.filter((name) => name !== ''),
      // Not on the form, and a deployment replaces all.
      ...(constraints === undefined ? {} : { constraints }),
      ...(limits === undefined ? {} : { limits }),
      ...(requests === undefined ? {} : { requests }),
      ...(readOnlyRootFilesystem === undefined ? {} : { readOnlyRootFilesystem }),
    }
  }

  async #send() {
    const send = /** @type {HTMLButtonElement} */ (byId('deploy-send'))
    send.disabled = true
    this.#error.hidden = true
    try {
      const deployment = this.#deployment()
      await deploy(deployment, this.#before === undefined)
      this.#hasDraft = false
      this.#dialog.close()
      say(`Deployed ${deployment.service}.`)
      this.#done({ name: deployment.service, namespace: deployment.namespace })
    } catch (error) {
      this.#error.textContent = messageOf(error)
      this.#error.hidden = false
    } finally {
      send.disabled = false
    }
  }
}

export class RemoveDialog {
  #dialog = /** @type {HTMLDialogElement} */ (byId('confirm'))
  #error = byId('confirm-error')
  /** @type {FunctionStatus | undefined} */
  #shown
  #done

  /** @param {(removed: FunctionStatus) => void} done */
  constructor(done) {
    this.#done = done
    byId('confirm-yes').addEventListener('click', () => void this.#remove())
    closeWithin(this.#dialog)
  }

  /** @param {FunctionStatus} shown */
  open(shown) {
    this.#shown = shown
    this.#error.hidden = true
    byId('confirm-title').textContent = `Remove ${shown.name}?`
    this.#dialog.showModal()
  }

  async #remove() {
    const shown = this.#shown
    if (shown === undefined) return
    try {
      await remove(shown).catch((error) => {
        // Somebody else was quicker: it is as it should be.
        if (!(error instanceof Refused) || error.status !== 404) throw error
      })
      this.#dialog.close()
      say(`Removed ${shown.name}.`)
      this.#done(shown)
    } catch (error) {
      this.#error.textContent = messageOf(error)
      this.#error.hidden = false
    }
  }
}

/** @param {HTMLDialogElement} dialog */
function closeWithin(dialog) {
  for (const button of dialog.querySelectorAll('[data-close]')) button.addEventListener('click', () => dialog.close())
}
