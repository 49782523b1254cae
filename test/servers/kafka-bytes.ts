// Kafka's primitive types, big-endian, in the encoding before "flexible versions". Called by the wire of the tests.

export class KafkaWriter {
  readonly #parts: Buffer[] = []

  int8(value: number): this {
    return this.#number(1, (buffer) => buffer.writeInt8(value))
  }

  int16(value: number): this {
    return this.#number(2, (buffer) => buffer.writeInt16BE(value))
  }

  int32(value: number): this {
    return this.#number(4, (buffer) => buffer.writeInt32BE(value))
  }

  string(text: string): this {
    this.int16(Buffer.byteLength(text)).#parts.push(Buffer.from(text))
    return this
  }

  data(data: Buffer): this {
    this.int32(data.length).#parts.push(data)
    return this
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }

  #number(size: number, write: (buffer: Buffer) => void): this {
    const buffer = Buffer.alloc(size)
    write(buffer)
    this.#parts.push(buffer)
    return this
  }
}

/** Reads in order; throws RangeError past the end. */
export class KafkaReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int8(): number {
    return this.#bytes.readInt8(this.#step(1))
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#step(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#step(4))
  }

  /** Null has length -1. */
  string(): string | null {
    const length = this.int16()
    return length < 0 ? null : this.#take(length).toString()
  }

  data(): Buffer {
    return this.#take(Math.max(0, this.int32()))
  }

  array<T>(read: () => T): readonly T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read)
  }

  #take(length: number): Buffer {
    const start = this.#step(length)
    return this.#bytes.subarray(start, start + length)
  }

  #step(length: number): number {
    const start = this.#at
    this.#at += length
    return start
  }
}
