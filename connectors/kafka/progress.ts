// What a commit says beyond its offset, as text in its metadata: which later records are settled already, and how often
// unsettled ones were tried. So a restart or another member neither repeats nor forgets. Pure; called by partition.ts.

/** Brokers take 4,096 bytes of metadata by default (`offset.metadata.max.bytes`). */
const TRIES_CHARS_MAX = 1400
const PREFIX = 'hub1'

export interface Progress {
  /** Distances from the committed offset, ascending. */
  readonly settled: readonly number[]
  /** Invocations of unsettled records, by distance from the committed offset. */
  readonly tries: ReadonlyMap<number, number>
}

const NOTHING: Progress = { settled: [], tries: new Map() }

/** `hub1;<distance>:<tries>,…;<bits, base64>`; empty when there is nothing to say. Tries that do not fit are left out. */
export function encodeProgress({ settled, tries }: Progress): string {
  if (settled.length === 0 && tries.size === 0) return ''
  let tried = ''
  for (const [distance, count] of tries) {
    const item = `${tried === '' ? '' : ','}${distance}:${count}`
    if (tried.length + item.length > TRIES_CHARS_MAX) break
    tried += item
  }
  const last = settled.at(-1)
  const bits = Buffer.alloc(last === undefined ? 0 : (last >> 3) + 1)
  for (const distance of settled) bits[distance >> 3] = (bits[distance >> 3] ?? 0) | (1 << (distance & 7))
  return `${PREFIX};${tried};${bits.toString('base64')}`
}

/** Of anything else, such as the metadata of another client: nothing. */
export function decodeProgress(metadata: string | null): Progress {
  const [prefix, tried = '', base64 = ''] = (metadata ?? '').split(';')
  if (prefix !== PREFIX) return NOTHING
  const tries = new Map<number, number>()
  for (const item of tried === '' ? [] : tried.split(',')) {
    const [distance, count] = item.split(':').map(Number)
    if (!Number.isSafeInteger(distance) || !Number.isSafeInteger(count)) return NOTHING
    tries.set(distance as number, count as number)
  }
  const settled: number[] = []
  for (const [index, byte] of Buffer.from(base64, 'base64').entries())
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) settled.push(index * 8 + bit)
  return { settled, tries }
}
