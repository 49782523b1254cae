// Form bodies as Express reads them with `extended`: `a[b]=c` nests, `a[]=1` and repeated names make lists. Runs inside a
// function's process.

/** The body parser's own limits: deeper keys and more fields are refused, higher numbers are names. */
const DEPTH_MAX = 32
const FIELDS_MAX = 1000
const INDEX_MAX = 100
/** Stands for an empty pair of brackets; no part of a key holds a bracket. */
const APPEND = '[]'

export class FormRefused extends Error {
  readonly status: number

  constructor(status: 400 | 413, message: string) {
    super(message)
    this.status = status
  }
}

/** While it is read, lists are held by number. */
type Value = string | Nested
interface Nested {
  [key: string]: Value
}
type Settled = string | Settled[] | { [key: string]: Settled }

/** @throws FormRefused */
export function parseForm(text: string): Settled {
  const form: Nested = {}
  if (text === '') return {}
  const fields = text.split('&')
  if (fields.length > FIELDS_MAX) throw new FormRefused(413, 'too many parameters')
  for (const field of fields) {
    if (field === '') continue
    // The bracket may hold an equals sign: a[b=c]=d.
    const bracket = field.indexOf(']=')
    const at = bracket === -1 ? field.indexOf('=') : bracket + 1
    const key = decode(at === -1 ? field : field.slice(0, at))
    const path = pathOf(key)
    if (path !== undefined) put(form, path, at === -1 ? '' : decode(field.slice(at + 1)))
  }
  return settle(form, true)
}

/** `a[b][]` as its parts; undefined where it names nothing, or the prototype of everything. */
function pathOf(key: string): readonly string[] | undefined {
  const brackets = [...key.matchAll(/\[([^[\]]*)\]/g)]
  if (brackets.length > DEPTH_MAX) throw new FormRefused(400, 'The input exceeded the depth')
  const name = key.slice(0, brackets[0]?.index)
  const inner = brackets.map((bracket, index) => {
    const part = bracket[1] as string
    // An empty pair appends at the end of a key, and is the first element before it.
    return part === '' ? (index === brackets.length - 1 ? APPEND : '0') : part
  })
  const path = name === '' ? inner : [name, ...inner]
  return path.length === 0 || path.includes('__proto__') ? undefined : path
}

function put(form: Nested, path: readonly string[], value: string): void {
  let at = form
  for (const [index, part] of path.entries()) {
    const key = part === APPEND ? String(Object.keys(at).filter(isIndex).length) : part
    const before = Object.hasOwn(at, key) ? at[key] : undefined
    if (index < path.length - 1) at = nestedAt(at, key, before, path[index + 1] as string)
    else at[key] = before === undefined ? value : both(before, value)
  }
}

/** What is to hold the next part. A plain value that becomes nested stays, as the first element of a list. */
function nestedAt(at: Nested, key: string, before: Value | undefined, next: string): Nested {
  if (typeof before === 'object') return before
  const nested: Nested = before === undefined ? {} : { 0: before }
  at[key] = nested
  if (before === undefined || next === APPEND || isIndex(next)) return nested
  const second: Nested = {}
  nested[1] = second
  return second
}

function both(before: Value, value: string): Nested {
  if (typeof before === 'string') return { 0: before, 1: value }
  const keys = Object.keys(before)
  return keys.every(isIndex) ? { ...before, [keys.length]: value } : { 0: before, 1: value }
}

/** What was collected under numbers only is a list. */
function settle(value: Value, isTop: boolean): Settled {
  if (typeof value === 'string') return value
  const entries = Object.entries(value).map(([key, inner]): [string, Settled] => [key, settle(inner, false)])
  if (isTop || entries.length === 0 || !entries.every(([key]) => isIndex(key))) return Object.fromEntries(entries)
  return entries.toSorted(([a], [b]) => Number(a) - Number(b)).map(([, inner]) => inner)
}

function isIndex(key: string): boolean {
  return /^(?:0|[1-9]\d{0,2})$/.test(key) && Number(key) <= INDEX_MAX
}

function decode(text: string): string {
  const spaced = text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced
  }
}
