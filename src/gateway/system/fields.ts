// The JSON body of a system request, read as Go's decoder reads it: names in any case, null as absent, unknown fields
// ignored, odd types refused. Its errors never quote the body, which may hold a secret.

import type { IncomingMessage } from 'node:http'

import { formatSize, readBody } from '../../sdk/index.ts'
import { Refused } from './refused.ts'

export class Fields {
  /** For error texts: `limits.`, or ''. */
  readonly #prefix: string
  readonly #values = new Map<string, unknown>()

  /** @throws Refused (400) when `value` is no object; null is one without fields */
  constructor(value: unknown, prefix = '') {
    this.#prefix = prefix
    if (value === null) return
    if (typeof value !== 'object' || Array.isArray(value))
      throw new Refused(400, `${prefix === '' ? 'the body' : prefix.slice(0, -1)} is ${kindOf(value)}, not an object`)
    const entries = Object.entries(value)
    for (const [name, one] of entries) this.#values.set(name.toLowerCase(), one)
    // The exact spelling wins.
    for (const [name, one] of entries) if (/[A-Z]/.test(name)) this.#values.set(name, one)
  }

  /** '' when it is absent. */
  text(name: string): string {
    const value = this.#value(name)
    if (value === undefined) return ''
    return typeof value === 'string' ? value : this.#refuse(name, 'a string', value)
  }

  flag(name: string): boolean {
    const value = this.#value(name)
    if (value === undefined) return false
    return typeof value === 'boolean' ? value : this.#refuse(name, 'a boolean', value)
  }

  integer(name: string): number | undefined {
    const value = this.#value(name)
    if (value === undefined) return undefined
    return Number.isSafeInteger(value) ? (value as number) : this.#refuse(name, 'an integer', value)
  }

  texts(name: string): readonly string[] {
    return this.#list(name).map((one, index) =>
      typeof one === 'string' ? one : this.#refuse(`${name}[${index}]`, 'a string', one),
    )
  }

  /** A value that is null is '', as in Go. */
  map(name: string): Readonly<Record<string, string>> {
    const value = this.#value(name)
    if (value === undefined) return {}
    if (typeof value !== 'object' || Array.isArray(value)) return this.#refuse(name, 'an object', value)
    return Object.fromEntries(
      Object.entries(value as object).map(([key, one]): [string, string] => [
        key,
        one === null ? '' : typeof one === 'string' ? one : this.#refuse(`${name}.${key}`, 'a string', one),
      ]),
    )
  }

  /** Without fields when it is absent. */
  object(name: string): Fields {
    return new Fields(this.#value(name) ?? null, `${this.#prefix}${name}.`)
  }

  objects(name: string): readonly Fields[] {
    return this.#list(name).map((one, index) => new Fields(one, `${this.#prefix}${name}[${index}].`))
  }

  #list(name: string): readonly unknown[] {
    const value = this.#value(name)
    if (value === undefined) return []
    return Array.isArray(value) ? value : this.#refuse(name, 'an array', value)
  }

  #value(name: string): unknown {
    const exact = this.#values.get(name)
    return (exact === undefined ? this.#values.get(name.toLowerCase()) : exact) ?? undefined
  }

  #refuse(name: string, wanted: string, value: unknown): never {
    throw new Refused(400, `${this.#prefix}${name} must be ${wanted}, not ${kindOf(value)}`)
  }
}

/** @throws Refused: 413 above `bytesMax`, 400 for what is no JSON object */
export async function readFields(request: IncomingMessage, bytesMax: number): Promise<Fields> {
  const body = await readBody(request, bytesMax)
  if (body === undefined) throw new Refused(413, `the body is larger than ${formatSize(bytesMax)}`)
  return fieldsOf(body)
}

function fieldsOf(body: Buffer): Fields {
  if (body.byteLength === 0) throw new Refused(400, 'unexpected end of JSON input')
  let value: unknown
  try {
    value = JSON.parse(body.toString('utf8'))
  } catch {
    // V8's own text quotes the body.
    throw new Refused(400, 'the body is not JSON')
  }
  return new Fields(value)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
