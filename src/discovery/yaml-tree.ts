// The parser's events as a tree whose nodes know their place in the text. Knows nothing of files; called by yaml-file.ts.

import { EVENT_ID, SCALAR_STYLE, YAMLException, getScalarValue } from 'js-yaml'
import type { Event, ScalarEvent } from 'js-yaml'

/** `at` is an offset into the text. A null text stands for an empty value, `~` and `null`. */
export type YamlNode =
  | { readonly kind: 'text'; readonly at: number; readonly text: string | null }
  | { readonly kind: 'list'; readonly at: number; readonly items: readonly YamlNode[] }
  | { readonly kind: 'mapping'; readonly at: number; readonly pairs: readonly YamlPair[] }

export interface YamlPair {
  readonly key: YamlNode
  readonly value: YamlNode
}

/** YAML 1.2.2 §10.3.2 */
const NULLS = new Set(['', '~', 'null', 'Null', 'NULL'])

/**
 * The one document of the text; undefined when there is none. An alias becomes the very node that it stands for.
 * @throws YAMLException for an alias without an anchor before it, and for a second document
 */
export function yamlTree(text: string, events: readonly Event[]): YamlNode | undefined {
  const isDocument = ({ type }: Event): boolean => type === EVENT_ID.DOCUMENT
  if (events.findIndex(isDocument) !== events.findLastIndex(isDocument))
    YAMLException.throwAt(text, text.length, 'more than one document is in the file (a line --- begins another)')
  return new TreeReader(text, events).next()
}

class TreeReader {
  readonly #text: string
  readonly #events: readonly Event[]
  readonly #anchors = new Map<string, YamlNode>()
  /** Past the event that opens the document. */
  #index = 1
  #lastAt = 0

  constructor(text: string, events: readonly Event[]) {
    this.#text = text
    this.#events = events
  }

  /** Undefined at the end of a collection. */
  next(): YamlNode | undefined {
    const event = this.#events[this.#index++]
    if (event === undefined || event.type === EVENT_ID.POP || event.type === EVENT_ID.DOCUMENT) return undefined
    if (event.type === EVENT_ID.ALIAS) {
      const anchored = this.#anchors.get(this.#text.slice(event.anchorStart, event.anchorEnd))
      // Without its name: a password that begins with * reads as an alias.
      return anchored ?? YAMLException.throwAt(this.#text, event.anchorStart - 1, 'an alias (*name) has no anchor (&name) before it') // prettier-ignore
    }
    const node = this.#node(event)
    if (event.anchorStart !== -1) this.#anchors.set(this.#text.slice(event.anchorStart, event.anchorEnd), node)
    return node
  }

  #node(event: Exclude<Event, { type: 1 | 5 | 6 }>): YamlNode {
    if (event.type === EVENT_ID.SCALAR) return this.#scalar(event)
    const at = (this.#lastAt = event.start)
    if (event.type === EVENT_ID.SEQUENCE) {
      const items: YamlNode[] = []
      for (let item = this.next(); item !== undefined; item = this.next()) items.push(item)
      return { kind: 'list', at, items }
    }
    const pairs: YamlPair[] = []
    for (let key = this.next(); key !== undefined; key = this.next()) {
      const value = this.next()
      // The parser gives every key a value, an empty one if need be.
      if (value !== undefined) pairs.push({ key, value })
    }
    return { kind: 'mapping', at, pairs }
  }

  #scalar(event: ScalarEvent): YamlNode {
    const { style, tagStart, valueStart } = event
    const text = getScalarValue(this.#text, event)
    if (valueStart !== -1)
      this.#lastAt =
        style === SCALAR_STYLE.SINGLE_QUOTED || style === SCALAR_STYLE.DOUBLE_QUOTED ? valueStart - 1 : valueStart
    const isNull = style === SCALAR_STYLE.PLAIN && tagStart === -1 && NULLS.has(text)
    return { kind: 'text', at: this.#lastAt, text: isNull ? null : text }
  }
}
