// From values to what people read, and back. Pure: knows no page.

const NUMBER = new Intl.NumberFormat('en')

/** @param {number} value */
export function count(value) {
  return NUMBER.format(value)
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, 'kB'] : [bytes / 1e6, 'MB']
  return `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`
}

/** @param {number} ms */
export function duration(ms) {
  return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`
}

/** @param {string} rfc3339 */
export function when(rfc3339) {
  const at = new Date(rfc3339)
  return Number.isNaN(at.getTime()) ? rfc3339 : at.toLocaleString()
}

/** To the millisecond, in the time of this machine. @param {string} rfc3339 */
export function clock(rfc3339) {
  const at = new Date(rfc3339)
  if (Number.isNaN(at.getTime())) return rfc3339
  return `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, '0')}`
}

/**
 * A map as lines of `KEY=value`. A value that is no single line is written as a JSON string.
 * @param {Readonly<Record<string, string>> | undefined} map
 */
export function pairLines(map) {
  return Object.entries(map ?? {})
    .map(([key, value]) => `${key}=${/[\r\n]|^"|^\s|\s$/.test(value) ? JSON.stringify(value) : value}`)
    .join('\n')
}

/**
 * The other way.
 * @param {string} lines
 * @param {string} what for the message
 * @returns {Record<string, string>}
 */
export function parsePairs(lines, what) {
  /** @type {[string, string][]} */
  const pairs = []
  for (const [index, line] of lines.split('\n').entries()) {
    if (line.trim() === '') continue
    const mark = line.indexOf('=')
    if (mark < 1) throw new Error(`${what}, line ${index + 1}: write it as KEY=value`)
    pairs.push([line.slice(0, mark).trim(), unquoted(line.slice(mark + 1).trim())])
  }
  return Object.fromEntries(pairs)
}

/** @param {string} value */
function unquoted(value) {
  if (!/^".*"$/.test(value)) return value
  try {
    return /** @type {string} */ (JSON.parse(value))
  } catch {
    return value
  }
}

/**
 * Lines of `Name: value`.
 * @param {string} lines
 * @returns {[string, string][]}
 */
export function parseHeaders(lines) {
  return lines
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const mark = line.indexOf(':')
      if (mark < 1) throw new Error(`Headers: write “${line.trim()}” as Name: value`)
      return [line.slice(0, mark).trim(), line.slice(mark + 1).trim()]
    })
}

/**
 * JSON with a line for each member. Its own tokens, moved only: a large number keeps its digits and a key that is there twice
 * stays there twice. @param {string} text valid JSON
 */
export function prettyJson(text) {
  let depth = 0
  const line = () => `\n${'  '.repeat(depth)}`
  return text.replaceAll(
    /("(?:[^"\\]|\\.)*")|([{[])\s*([}\]])?|([}\]])|([,:])|\s+/g,
    (token, string, opens, closed, closes, mark) => {
      if (string !== undefined) return token
      if (opens !== undefined && closed !== undefined) return `${opens}${closed}`
      if (opens !== undefined) {
        depth += 1
        return `${opens}${line()}`
      }
      if (closes !== undefined) {
        depth -= 1
        return `${line()}${closes}`
      }
      if (mark === ',') return `,${line()}`
      return mark === ':' ? ': ' : ''
    },
  )
}

const COLORS = ['', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', '']
const ESCAPE = String.fromCharCode(27)
/** After the escape character: colours and styles (CSI … m), other CSI, OSC to its end, what has one character. */
const SEQUENCE = /^(?:\[([0-9;]*)m|\[[0-?]*[ -/]*[@-~]|\]\P{Cc}*\p{Cc}?|[@-Z\\-_=>])/u

/**
 * A printed line with its colours as class names. Other escape sequences are left out, other control characters shown.
 * @param {string} line
 * @returns {{ text: string, style: string }[]}
 */
export function styledParts(line) {
  const [plain = '', ...escaped] = line.split(ESCAPE)
  const parts = [{ text: visible(plain), style: '' }]
  /** @type {Set<string>} */
  let style = new Set()
  for (const text of escaped) {
    const [sequence = '', codes] = SEQUENCE.exec(text) ?? []
    if (codes !== undefined) style = styleAfter(style, codes)
    parts.push({ text: visible(text.slice(sequence.length)), style: [...style].join(' ') })
  }
  return parts.filter(({ text }) => text !== '')
}

/** Control characters in caret notation. @param {string} text */
function visible(text) {
  return text.replaceAll(/\p{Cc}/gu, (char) => {
    const code = char.charCodeAt(0)
    if (code === 9) return char
    return code < 32 ? `^${String.fromCharCode(64 + code)}` : '�'
  })
}

/** ECMA-48, select graphic rendition. @param {Set<string>} style @param {string} codes */
function styleAfter(style, codes) {
  const next = new Set(style)
  for (const code of codes.split(';').map(Number)) {
    if (code === 0) next.clear()
    else if (code === 1) next.add('bold')
    else if (code === 2) next.add('faint')
    else if (code === 22) for (const one of ['bold', 'faint']) next.delete(one)
    else if ((code >= 30 && code <= 39) || (code >= 90 && code <= 97)) {
      for (const color of COLORS) next.delete(color)
      const color = COLORS[code % 10]
      if (color) next.add(color)
    }
  }
  return next
}
