// What a function answered, in the form that fits it: text as it comes in, JSON laid out, an image, or a size and a download.

import { byId, copy, make } from './dom.js'
import { prettyJson, size } from './text.js'

const TEXT = /^text\/|[/+](json|xml|yaml|x-ndjson|javascript|x-www-form-urlencoded|graphql)\b/
const SHOWN_CHARS_MAX = 300_000

export class AnswerView {
  #body = byId('answer-body')
  #note = byId('answer-note')
  #raw = byId('raw')
  #download = /** @type {HTMLAnchorElement} */ (byId('download'))
  #copy = byId('copy-answer')
  #url = ''
  #text = ''
  #pretty = ''

  constructor() {
    this.#raw.addEventListener('click', () => this.#showText(this.#raw.getAttribute('aria-pressed') === 'false'))
    this.#copy.addEventListener('click', () => void copy(this.#copy, this.#text))
  }

  clear() {
    URL.revokeObjectURL(this.#url)
    this.#url = this.#text = this.#pretty = ''
    this.#body.replaceChildren()
    this.#note.replaceChildren()
    for (const one of [this.#note, this.#raw, this.#download, this.#copy]) one.hidden = true
    byId('answer-headers').lastElementChild?.replaceChildren()
  }

  /** One more line about the answer. @param {string} text */
  note(text) {
    this.#note.append(make('span', {}, `${text}\n`))
    this.#note.hidden = false
  }

  /** @param {Headers} headers */
  headers(headers) {
    const list = byId('answer-headers').lastElementChild
    list?.replaceChildren(...[...headers].flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]))
  }

  /** Shows it while it is still coming in, as far as it is text. @param {Headers} headers @returns {(chunk: Uint8Array) => void} */
  incoming(headers) {
    const type = headers.get('content-type') ?? ''
    if (type.startsWith('image/')) return () => {}
    const decoder = TEXT.test(type) ? decoderOf(type) : new TextDecoder('utf-8', { fatal: true })
    const pre = make('pre')
    let room = SHOWN_CHARS_MAX
    return (chunk) => {
      if (room <= 0) return
      try {
        const text = decoder.decode(chunk, { stream: true }).slice(0, room)
        if (decoder.fatal && text.includes('\0')) throw new Error('no text')
        room -= text.length
        pre.append(text)
        if (!pre.isConnected) this.#body.replaceChildren(pre)
      } catch {
        room = 0
        pre.remove()
      }
    }
  }

  /** @param {Headers} headers @param {Uint8Array<ArrayBuffer>} bytes all of it @param {string} name of the file to download */
  whole(headers, bytes, name) {
    const type = headers.get('content-type') ?? ''
    const isImage = type.startsWith('image/')
    // A type of our own choosing: opened from the download it must not run as a page of this origin.
    this.#url = URL.createObjectURL(new Blob([bytes], { type: isImage ? type : 'application/octet-stream' }))
    this.#download.href = this.#url
    this.#download.download = name
    this.#download.hidden = bytes.byteLength === 0
    if (bytes.byteLength === 0) this.#sentence('The answer has no body.')
    else if (isImage) this.#image()
    else this.#textOrBinary(type, bytes)
  }

  /** @param {string} text */
  #sentence(text) {
    this.#body.replaceChildren(make('p', { class: 'dim' }, text))
  }

  #image() {
    const image = make('img', { src: this.#url, alt: 'The image that the function answered' })
    image.addEventListener('error', () => this.#sentence('This is no image that the browser can show.'))
    this.#body.replaceChildren(image)
  }

  /** @param {string} type @param {Uint8Array} bytes */
  #textOrBinary(type, bytes) {
    const text = textOf(type, bytes)
    if (text === undefined) return this.#sentence(`${size(bytes.byteLength)} of binary data.`)
    this.#text = text
    this.#copy.hidden = false
    this.#pretty = laidOut(type, text)
    this.#raw.hidden = this.#pretty === text
    this.#showText(false)
    if (text.length > SHOWN_CHARS_MAX) this.note('Only the beginning is shown; the download has all of it.')
  }

  /** @param {boolean} raw */
  #showText(raw) {
    const text = raw ? this.#text : this.#pretty
    this.#raw.setAttribute('aria-pressed', String(raw))
    this.#body.replaceChildren(make('pre', { tabindex: '0', 'aria-label': 'Body' }, text.slice(0, SHOWN_CHARS_MAX)))
  }
}

/** Undefined where it is none. @param {string} type @param {Uint8Array} bytes */
function textOf(type, bytes) {
  if (TEXT.test(type)) return decoderOf(type).decode(bytes)
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}

/** @param {string} type */
function decoderOf(type) {
  const charset = /charset="?([^\s;"]+)/i.exec(type)?.[1]
  try {
    return new TextDecoder(charset)
  } catch {
    return new TextDecoder()
  }
}

/** @param {string} type @param {string} text */
function laidOut(type, text) {
  if (!/[/+]json\b/.test(type) || text.length > SHOWN_CHARS_MAX) return text
  try {
    JSON.parse(text)
    return prettyJson(text)
  } catch {
    return text
  }
}
