// Turns whatever a broker carries into header names and values that HTTP accepts: encoded where needed, never injected.

/** RFC 9110 §5.6.2 token. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Printable ASCII and inner spaces and tabs: what every HTTP stack passes unchanged (RFC 9110 §5.5). */
const SAFE_VALUE = /^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/
/** Names that belong to the invocation itself; a broker's header of that name is given the connector's prefix. */
const RESERVED = new Set([
  'authorization', 'connection', 'content-length', 'content-type', 'cookie', 'expect', 'host', 'keep-alive',
  'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
  'user-agent', 'x-callback-url', 'x-call-id', 'x-connector', 'x-start-time', 'x-topic',
]) // prettier-ignore

/**
 * Collects the headers of one event. A value that HTTP cannot carry (CR, LF, NUL, non-ASCII, outer spaces) is sent as
 * `base64(UTF-8 bytes)` with a second header `<Name>-Enc: b64`; several values of one name are joined by `, `.
 */
export class HeaderWriter {
  readonly #prefix: string
  /** Not an object literal: `__proto__` is a legal header name. */
  readonly #headers = new Map<string, string>()
  #broker: Map<string, { readonly name: string; value: string | Uint8Array }> | undefined

  /** @param prefix put before broker headers whose name is reserved or not an HTTP token, e.g. `X-Mqtt-`. */
  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** A header of the connector's own: `name` is complete and valid. Undefined values are left out. */
  own(name: string, value: string | number | boolean | Uint8Array | undefined): this {
    if (value !== undefined) write(this.#headers, name, typeof value === 'object' ? value : String(value))
    return this
  }

  /** A header that came with the event. Names are compared without case; repeated names are joined. */
  broker(name: string, value: string | Uint8Array): this {
    const safeName = this.#safeName(name)
    const key = safeName.toLowerCase()
    this.#broker ??= new Map()
    const earlier = this.#broker.get(key)
    if (earlier === undefined) this.#broker.set(key, { name: safeName, value })
    else earlier.value = `${text(earlier.value)}, ${text(value)}`
    return this
  }

  /** Own headers win over broker headers of the same name. */
  build(): Readonly<Record<string, string>> {
    if (this.#broker !== undefined) {
      const own = new Set([...this.#headers.keys()].map((name) => name.toLowerCase()))
      for (const [key, { name, value }] of this.#broker)
        if (!own.has(key) && !this.#posesAsEncoding(key, own)) write(this.#headers, name, value)
    }
    return Object.fromEntries(this.#headers)
  }

  /** `X-Foo-Enc` next to `X-Foo` would tell the function that a plain value is encoded; only this class says so. */
  #posesAsEncoding(key: string, own: ReadonlySet<string>): boolean {
    const base = key.endsWith('-enc') ? key.slice(0, -'-enc'.length) : undefined
    return base !== undefined && (own.has(base) || this.#broker?.has(base) === true)
  }

  #safeName(name: string): string {
    // `X-Topic-Enc` would say of the invocation's own `X-Topic` that it is encoded.
    if (TOKEN.test(name)) return RESERVED.has(name.toLowerCase().replace(/-enc$/, '')) ? this.#prefix + name : name
    const cleaned = name.replace(/[^!#$%&'*+\-.^_`|~0-9A-Za-z]/g, '-')
    return this.#prefix + (cleaned === '' ? 'Header' : cleaned)
  }
}

function text(value: string | Uint8Array): string {
  return typeof value === 'string' ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
}

function write(headers: Map<string, string>, name: string, value: string | Uint8Array): void {
  if (typeof value === 'string') {
    if (value === '' || SAFE_VALUE.test(value)) {
      headers.set(name, value)
      return
    }
    headers.set(name, Buffer.from(value).toString('base64'))
  } else {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    const latin = bytes.toString('latin1')
    if (latin === '' || SAFE_VALUE.test(latin)) {
      headers.set(name, latin)
      return
    }
    headers.set(name, bytes.toString('base64'))
  }
  headers.set(`${name}-Enc`, 'b64')
}
