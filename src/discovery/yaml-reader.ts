// A YAML file as checked mappings, lists and texts, each knowing its line and column. Keeps numbers and booleans as they
// were typed, because everything in a stack file is text in the end. Called by stack-file.ts.

import { readFileSync, statSync } from 'node:fs'

import { LineCounter, isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml'
import type { Document, Node } from 'yaml'

import { HubError, errorText, formatSize } from '../sdk/index.ts'
import type { SourcePosition } from './function.ts'

const FILE_BYTES_MAX = 4 * 1024 * 1024
const MERGE_DEPTH_MAX = 4

export interface YamlEntry {
  readonly position: SourcePosition
  /** Null for an empty value. */
  readonly value: Node | null
}

export class YamlFile {
  readonly path: string
  readonly #document: Document.Parsed
  readonly #lines: LineCounter

  /** @throws HubError HUB_CONFIG_UNREADABLE, with line and column where it is not YAML */
  constructor(path: string) {
    this.path = path
    this.#lines = new LineCounter()
    // The library compares each key with all before it, seconds for ten thousand functions; here `entries` does it.
    this.#document = parseDocument(readText(path), { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: false })
    const [error] = this.#document.errors
    if (error !== undefined)
      throw this.#broken(error.pos[0], error.message.split('\n')[0] ?? '', 'Correct the YAML there; values with ":", "{" or "#" need quotes.') // prettier-ignore
  }

  get root(): Node | null {
    return this.#document.contents
  }

  position(node: Node | null | undefined): SourcePosition {
    const { line, col } = this.#lines.linePos(node?.range?.[0] ?? 0)
    return { file: this.path, line: Math.max(line, 1), column: Math.max(col, 1) }
  }

  /**
   * The entries of a mapping, aliases and `<<` merges resolved; undefined when it is none.
   * @throws HubError HUB_CONFIG_UNREADABLE when a key stands there twice
   */
  entries(node: Node | null | undefined, depth = 0): Map<string, YamlEntry> | undefined {
    const map = this.#resolve(node)
    if (!isMap(map)) return undefined
    const entries = new Map<string, YamlEntry>()
    const merged = new Map<string, YamlEntry>()
    for (const { key, value } of map.items) {
      const keyNode = key as Node | null
      const name = this.text(keyNode)
      if (name === undefined) continue
      if (name !== '<<') {
        if (entries.has(name)) throw this.#broken(keyNode?.range?.[0] ?? 0, `the key ${name} stands there twice`, 'Remove one of them.') // prettier-ignore
        entries.set(name, { position: this.position(keyNode), value: value as Node | null })
      } else if (depth < MERGE_DEPTH_MAX)
        for (const source of this.items(value as Node | null) ?? [value as Node | null])
          for (const [inner, entry] of this.entries(source, depth + 1) ?? [])
            if (!merged.has(inner)) merged.set(inner, entry)
    }
    for (const [name, entry] of merged) if (!entries.has(name)) entries.set(name, entry)
    return entries
  }

  /** The items of a list; undefined when it is none. */
  items(node: Node | null | undefined): readonly (Node | null)[] | undefined {
    const list = this.#resolve(node)
    return isSeq(list) ? (list.items as (Node | null)[]) : undefined
  }

  /** A scalar as typed (`1.0` stays `1.0`), '' for an empty one; undefined for a mapping or list. */
  text(node: Node | null | undefined): string | undefined {
    if (node === null || node === undefined) return ''
    const scalar = this.#resolve(node)
    if (!isScalar(scalar)) return undefined
    if (typeof scalar.value === 'string') return scalar.value
    if (scalar.value === null) return ''
    return scalar.source ?? JSON.stringify(scalar.value)
  }

  #broken(offset: number, what: string, hint: string): HubError {
    const { line, col } = this.#lines.linePos(offset)
    return new HubError('HUB_CONFIG_UNREADABLE', `${this.path}:${line}:${col}: ${what}`, { hint })
  }

  #resolve(node: Node | null | undefined): Node | null | undefined {
    return isAlias(node) ? node.resolve(this.#document) : node
  }
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
