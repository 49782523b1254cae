// A YAML file as checked mappings, lists and texts, each knowing its line and column. Keeps numbers and booleans as they
// were typed, because everything in a stack file is text in the end; `values` reads them by YAML's rules, for hub.yaml.

import { readFileSync, statSync } from 'node:fs'

import { CORE_SCHEMA, YAMLException, constructFromEvents, mergeTag, parseEvents } from 'js-yaml'
import type { Event } from 'js-yaml'

import { HubError, errorText, formatSize } from '../sdk/index.ts'
import type { SourcePosition } from './function.ts'
import { yamlTree } from './yaml-tree.ts'
import type { YamlNode } from './yaml-tree.ts'

const FILE_BYTES_MAX = 4 * 1024 * 1024
const MERGE_DEPTH_MAX = 4
const ALIASES_MAX = 100
const SCHEMA = CORE_SCHEMA.withTags(mergeTag)

export interface YamlEntry {
  readonly position: SourcePosition
  readonly value: YamlNode
}

export class YamlFile {
  readonly path: string
  readonly #text: string
  readonly #events: Event[]
  /** Offsets at which lines begin; made when the first place is asked for. */
  #lines: readonly number[] | undefined
  /** Undefined for an empty file. */
  readonly root: YamlNode | undefined

  /** @throws HubError HUB_CONFIG_UNREADABLE, with line and column where it is not YAML */
  constructor(path: string) {
    this.path = path
    this.#text = readText(path)
    this.#events = this.#reading(() => parseEvents(this.#text, {}))
    this.root = this.#reading(() => yamlTree(this.#text, this.#events))
  }

  /** The whole file as plain values, with YAML 1.2's types. @throws HubError HUB_CONFIG_UNREADABLE */
  values(): unknown {
    const options = { source: this.#text, schema: SCHEMA, maxAliases: ALIASES_MAX }
    return this.#reading(() => constructFromEvents(this.#events, options))[0]
  }

  position(node: YamlNode | undefined): SourcePosition {
    return { file: this.path, ...this.#place(node?.at ?? 0) }
  }

  /** Of the deepest part of `path` that is in the file. */
  positionOf(path: readonly (string | number)[]): SourcePosition | undefined {
    let node = this.root
    let deepest: SourcePosition | undefined
    for (const name of path) {
      if (node?.kind === 'list') node = node.items[Number(name)]
      else {
        const entry = this.entries(node)?.get(String(name))
        deepest = entry?.position ?? deepest
        node = entry?.value
      }
      if (node === undefined) break
    }
    return deepest
  }

  /**
   * The entries of a mapping, `<<` merges resolved; undefined when it is none.
   * @throws HubError HUB_CONFIG_UNREADABLE when a key stands there twice
   */
  entries(node: YamlNode | undefined, depth = 0): Map<string, YamlEntry> | undefined {
    if (node?.kind !== 'mapping') return undefined
    const entries = new Map<string, YamlEntry>()
    const merged = new Map<string, YamlEntry>()
    for (const { key, value } of node.pairs) {
      const name = this.text(key)
      if (name === undefined) continue
      if (name !== '<<') {
        if (entries.has(name)) throw this.#broken(key.at, `the key ${name} stands there twice`, 'Remove one of them.')
        entries.set(name, { position: this.position(key), value })
      } else if (depth < MERGE_DEPTH_MAX)
        for (const source of this.items(value) ?? [value])
          for (const [inner, entry] of this.entries(source, depth + 1) ?? [])
            if (!merged.has(inner)) merged.set(inner, entry)
    }
    for (const [name, entry] of merged) if (!entries.has(name)) entries.set(name, entry)
    return entries
  }

  /** The items of a list; undefined when it is none. */
  items(node: YamlNode): readonly YamlNode[] | undefined {
    return node.kind === 'list' ? node.items : undefined
  }

  /** A scalar as typed (`1.0` stays `1.0`), '' for an empty one; undefined for a mapping or list. */
  text(node: YamlNode): string | undefined {
    return node.kind === 'text' ? (node.text ?? '') : undefined
  }

  /** The library's reason without its excerpt, which may hold a secret. */
  #reading<T>(read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof YAMLException)) throw error
      // A password that begins with ! reads as a tag, and what is said of tags names them.
      const reason = /\btag\b/.test(error.reason) ? 'a tag (!name) that is not known here' : error.reason
      throw this.#broken(error.mark?.position ?? 0, reason, 'Correct the YAML there; values with ":", "{", "*", "!" or "#" need quotes.') // prettier-ignore
    }
  }

  #broken(offset: number, what: string, hint: string): HubError {
    const { line, column } = this.#place(offset)
    return new HubError('HUB_CONFIG_UNREADABLE', `${this.path}:${line}:${column}: ${what}`, { hint })
  }

  #place(offset: number): { readonly line: number; readonly column: number } {
    const lines = (this.#lines ??= lineStarts(this.#text))
    let [low, high] = [0, lines.length]
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if ((lines[middle] as number) <= offset) low = middle
      else high = middle
    }
    return { line: low + 1, column: offset - (lines[low] as number) + 1 }
  }
}

function lineStarts(text: string): readonly number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

function readText(path: string): string {
  try {
    const { size } = statSync(path)
    if (size > FILE_BYTES_MAX)
      throw new RangeError(`has ${formatSize(size)}; at most ${formatSize(FILE_BYTES_MAX)} are read`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new HubError('HUB_CONFIG_UNREADABLE', `${path}: ${errorText(error)}`, { cause: error })
  }
}
