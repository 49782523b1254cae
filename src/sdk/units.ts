// Durations and sizes as people write them: `1m30s`, `1MiB`.

const DURATION_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  // Go takes both spellings: the micro sign and the Greek letter.
  '\u00b5s': 1e-3,
  '\u03bcs': 1e-3,
  ns: 1e-6,
}
const SIZE_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
}

/** Parses a Go-style duration (`300ms`, `1m30s`, `1.5h`, `0`) to milliseconds; undefined when it is not one. */
export function parseDuration(text: string): number | undefined {
  let totalMs = 0
  let rest = text.trim()
  if (rest === '0') return 0
  if (rest === '') return undefined
  while (rest !== '') {
    const part = /^(\d+(?:\.\d*)?|\.\d+)(ms|us|\u00b5s|\u03bcs|ns|h|m|s)/.exec(rest)
    if (part === null) return undefined
    totalMs += Number(part[1]) * (DURATION_MS[part[2] as string] as number)
    rest = rest.slice(part[0].length)
  }
  if (totalMs > Number.MAX_SAFE_INTEGER) return undefined
  // A nanosecond is the smallest unit; what is below it is left over from the multiplication (1.005s).
  return Math.round(totalMs * 1e6) / 1e6
}

/** The shortest spelling a person reads and `parseDuration` takes: `850ms`, `1.5s`, `2m30s`, `1h0m0s` becomes `1h`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (ms < 1) return `${Number(ms.toFixed(2))}ms`
  if (Math.round(ms) < 1000) return `${Math.round(ms)}ms`
  if (ms < 59_995) return `${Number((ms / 1000).toFixed(2))}s`
  const totalSeconds = Math.round(ms / 1000)
  const parts = [
    totalSeconds >= 3600 ? `${Math.floor(totalSeconds / 3600)}h` : '',
    Math.floor(totalSeconds / 60) % 60 > 0 ? `${Math.floor(totalSeconds / 60) % 60}m` : '',
    totalSeconds % 60 > 0 ? `${totalSeconds % 60}s` : '',
  ]
  return parts.join('')
}

/** Parses `512KiB`, `1MiB`, `10MB`, `100B` to bytes; undefined when it is not a size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|kB|MB|GB)$/.exec(text.trim())
  if (match === null) return undefined
  const bytes = Math.round(Number(match[1]) * (SIZE_BYTES[match[2] as string] as number))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

export function formatSize(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB'] as const) {
    const size = bytes / (SIZE_BYTES[unit] as number)
    // What would be printed as 1024 of the smaller unit is 1 of this one.
    if (size >= 0.99995) return `${Number(size.toFixed(1))}${unit}`
  }
  return `${bytes}B`
}
