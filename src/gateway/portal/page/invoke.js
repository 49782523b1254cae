// Invokes a function with what the form says and reports what came back.

import { AnswerView } from './answer.js'
import { AsyncCallList } from './calls.js'
import { byId, make, messageOf } from './dom.js'
import { functionUrl } from './gateway.js'
import { duration, parseHeaders, size } from './text.js'

/** @typedef {import('./gateway.js').FunctionStatus} FunctionStatus */

const ANSWER_BYTES_MAX = 64 * 1024 * 1024
const BODILESS = new Set(['GET', 'HEAD'])
/** Parts of the platform that say in the log why they answer. */
const LOGGED = new Set(['proxy', 'of-watchdog'])
const FIELDS = ['method', 'path', 'query', 'body', 'contentType', 'headers', 'callback']

export class Invocation {
  #form = /** @type {HTMLFormElement} */ (byId('invoke'))
  #answer = new AnswerView()
  #asyncCalls = new AsyncCallList()
  #stop = byId('stop')
  /** @type {FunctionStatus | undefined} */
  #shown
  /** What was typed, by function. @type {Map<string, Record<string, string>>} */
  #drafts = new Map()
  /** @type {AbortController | undefined} */
  #running

  #answered

  /** @param {() => void} answered its counts are others now */
  constructor(answered) {
    this.#answered = answered
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#invoke()
    })
    this.#form.addEventListener('input', () => this.#adapt())
    this.#form.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit()
    })
    this.#stop.addEventListener('click', () => this.#running?.abort(new Error('stopped')))
  }

  /** @param {FunctionStatus} shown */
  open(shown) {
    this.close()
    this.#shown = shown
    const draft = this.#drafts.get(`${shown.name}.${shown.namespace}`)
    for (const name of FIELDS) this.#field(name).value = draft?.[name] ?? ''
    this.#field('method').value = draft?.['method'] ?? 'POST'
    this.#field('contentType').value = draft?.['contentType'] ?? 'text/plain'
    this.#field('async').checked = draft?.['async'] === 'on'
    this.#field('file').value = ''
    byId('answer').hidden = true
    this.#answer.clear()
    this.#asyncCalls.open(shown)
    this.#adapt()
  }

  /** What was typed is kept, what runs is not. */
  close() {
    this.#running?.abort(new Error('closed'))
    this.#running = undefined
    if (this.#shown === undefined) return
    const draft = Object.fromEntries(FIELDS.map((name) => [name, this.#field(name).value]))
    if (this.#field('async').checked) draft['async'] = 'on'
    this.#drafts.set(`${this.#shown.name}.${this.#shown.namespace}`, draft)
    this.#shown = undefined
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLInputElement} */ (this.#form.elements.namedItem(name))
  }

  /** What cannot be is not offered. */
  #adapt() {
    const isAsync = this.#field('async').checked
    // The gateway takes nothing else on its async route.
    if (isAsync) this.#field('method').value = 'POST'
    this.#field('method').disabled = isAsync
    byId('callback-line').hidden = !isAsync
    const bodiless = BODILESS.has(this.#field('method').value)
    for (const name of ['body', 'file', 'contentType']) this.#field(name).disabled = bodiless
    if (this.#shown !== undefined) byId('route').textContent = functionUrl(this.#shown, isAsync).pathname
  }

  /** @returns {Request} */
  #request() {
    const isAsync = this.#field('async').checked
    const method = this.#field('method').value
    const path = this.#field('path').value.trim()
    const query = this.#field('query').value.trim().replace(/^\?/, '')
    const url = functionUrl(/** @type {FunctionStatus} */ (this.#shown), isAsync)
    if (path !== '') url.pathname += path.startsWith('/') ? path : `/${path}`
    url.search = query
    const headers = new Headers(parseHeaders(this.#field('headers').value))
    const type = this.#field('contentType').value.trim()
    const callback = this.#field('callback').value.trim()
    if (type !== '' && !BODILESS.has(method)) headers.set('Content-Type', type)
    if (isAsync && callback !== '') headers.set('X-Callback-Url', callback)
    const body = BODILESS.has(method) ? null : this.#body(type)
    // The gateway's own credentials are not for functions; and a redirect is an answer.
    return new Request(url, { method, headers, body, credentials: 'omit', redirect: 'manual', cache: 'no-store' })
  }

  /** Bytes: for a text the browser would choose a content type. @param {string} type */
  #body(type) {
    const file = this.#field('file').files?.[0]
    return file === undefined ? new TextEncoder().encode(this.#field('body').value) : file.slice(0, file.size, type)
  }

  async #invoke() {
    this.#running?.abort(new Error('another call'))
    const running = new AbortController()
    this.#running = running
    const isCurrent = () => this.#running === running
    this.#answer.clear()
    byId('answer').hidden = false
    this.#outcome('', '', ['Waiting…'])
    this.#stop.hidden = false
    const startedAt = performance.now()
    try {
      const request = this.#request()
      this.#sayDropped(request.headers)
      const isAsync = this.#field('async').checked
      const shown = /** @type {FunctionStatus} */ (this.#shown)
      const response = await fetch(request, { signal: running.signal })
      if (isAsync && response.status === 202) this.#queued(shown, request, response)
      await this.#show(response, startedAt, isCurrent)
    } catch (error) {
      if (isCurrent()) this.#outcome('bad', 'No answer', [messageOf(error), duration(performance.now() - startedAt)])
    } finally {
      if (isCurrent()) this.#stop.hidden = true
      this.#answered()
    }
  }

  /** Names that a browser sets itself or to nothing. @param {Headers} taken */
  #sayDropped(taken) {
    const dropped = parseHeaders(this.#field('headers').value).flatMap(([name]) => (taken.has(name) ? [] : [name]))
    if (dropped.length > 0) this.#answer.note(`Not sent, as browsers let no page set them: ${dropped.join(', ')}`)
  }

  /** @param {Response} response @param {number} startedAt @param {() => boolean} isCurrent */
  async #show(response, startedAt, isCurrent) {
    const elapsed = () => duration(performance.now() - startedAt)
    if (response.type === 'opaqueredirect') {
      this.#outcome('warn', 'Redirect (3xx)', [elapsed()])
      this.#answer.note('It was not followed, and a browser tells a page nothing else of a redirect; curl shows it.')
      return
    }
    const { status, headers } = response
    const kind = status < 300 ? 'good' : status < 500 ? 'warn' : 'bad'
    const title = `${status} ${response.statusText}`.trim()
    this.#outcome(kind, title, [elapsed(), 'reading…'])
    this.#answer.headers(headers)
    const { bytes, isCut, problem } = await this.#read(response)
    if (!isCurrent()) return
    this.#outcome(kind, title, [elapsed(), size(bytes.byteLength), ...factsOf(headers)])
    // Of the platform's own answers only a 502 does not say so.
    if (status === 502 || LOGGED.has(headers.get('x-openfaas-internal') ?? ''))
      this.#answer.note('The reason stands in the log of the function: see the tab Logs.')
    if (isCut) this.#answer.note(`Reading was ended after ${size(ANSWER_BYTES_MAX)}.`)
    if (problem !== undefined) this.#answer.note(`The answer broke off: ${problem}`)
    this.#answer.whole(headers, bytes, `${this.#shown?.name ?? 'function'}-answer`)
    byId('answer').scrollIntoView({ block: 'nearest' })
  }

  /** @param {FunctionStatus} shown @param {Request} request @param {Response} response */
  #queued(shown, request, response) {
    // An id of the caller's own is not repeated.
    const id = response.headers.get('x-call-id') ?? request.headers.get('x-call-id') ?? ''
    this.#asyncCalls.add(shown, id)
    const callback = request.headers.get('x-callback-url')
    const answer =
      callback === null ? 'Its answer goes nowhere: no callback URL was given.' : `Its answer goes to ${callback}`
    this.#answer.note(`Queued as call ${id}. ${answer}`)
  }

  /** @param {Response} response */
  async #read({ body, headers }) {
    /** @type {Uint8Array<ArrayBuffer>[]} */
    const chunks = []
    const incoming = this.#answer.incoming(headers)
    let length = 0
    /** @type {string | undefined} */
    let problem
    try {
      for await (const chunk of body ?? []) {
        chunks.push(chunk)
        length += chunk.byteLength
        incoming(chunk)
        // Leaving the loop cancels the stream.
        if (length > ANSWER_BYTES_MAX) break
      }
    } catch (error) {
      problem = messageOf(error)
    }
    const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer())
    return { bytes, isCut: length > ANSWER_BYTES_MAX, problem }
  }

  /** @param {string} kind @param {string} title @param {string[]} facts */
  #outcome(kind, title, facts) {
    const outcome = byId('outcome')
    outcome.dataset['kind'] = kind
    const heading = title === '' ? [] : [make('b', {}, title)]
    outcome.replaceChildren(...heading, ...facts.map((fact) => make('span', {}, fact)))
  }
}

/** @param {Headers} headers */
function factsOf(headers) {
  const seconds = headers.get('x-duration-seconds')
  const origin = headers.get('x-openfaas-internal')
  return [
    ...(seconds === null ? [] : [`${duration(Number(seconds) * 1000)} in the function`]),
    ...(origin === null ? [] : [`from the platform (${origin}), not the function`]),
    headers.get('content-type') ?? '',
  ]
}
