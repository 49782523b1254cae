// `${VAR}` and `${VAR:-default}` in the values of a stack file, as faas-cli substitutes them. Pure; works on one value at
// a time, so that an environment variable can never change the structure of the file.

export interface Substituted {
  readonly text: string
  /** Variables that are not set and have no default; they became empty, as in faas-cli. */
  readonly unset: readonly string[]
}

const DEPTH_MAX = 16
/** The name and what follows it inside the braces. */
const REFERENCE = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-=])([^]*))?$/

/**
 * `${VAR}`, `${VAR:-default}` and its spellings `-`, `:=`, `=`; defaults may hold references. The default is used when
 * the variable is unset or empty. `$${` stands for a plain `${`; `$VAR` without braces stays as it is.
 * @throws SyntaxError for a reference that is not closed or not one of these
 */
export function substituteEnv(text: string, env: Readonly<Record<string, string | undefined>>, depth = 0): Substituted {
  if (!text.includes('${')) return { text, unset: [] }
  if (depth > DEPTH_MAX) throw new SyntaxError('references are nested too deep')
  let result = ''
  const unset: string[] = []
  for (let at = 0; at < text.length;) {
    const open = text.indexOf('${', at)
    if (open < 0) return { text: result + text.slice(at), unset }
    if (open > at && text[open - 1] === '$') {
      result += `${text.slice(at, open - 1)}\${`
      at = open + 2
      continue
    }
    const close = closingBrace(text, open + 2)
    const value = resolve(text.slice(open + 2, close), env, depth)
    result += text.slice(at, open) + value.text
    unset.push(...value.unset)
    at = close + 1
  }
  return { text: result, unset }
}

function resolve(reference: string, env: Readonly<Record<string, string | undefined>>, depth: number): Substituted {
  const [, name, operator, fallback] = REFERENCE.exec(reference) ?? []
  if (name === undefined)
    throw new SyntaxError(`\${${reference.slice(0, 60)}} is not a reference such as \${VAR} or \${VAR:-default}`)
  const value = env[name]
  if (value !== undefined && value !== '') return { text: value, unset: [] }
  if (operator !== undefined) return substituteEnv(fallback ?? '', env, depth + 1)
  return { text: '', unset: value === undefined ? [name] : [] }
}

function closingBrace(text: string, from: number): number {
  let depth = 1
  for (let at = from; at < text.length; at++) {
    if (text.startsWith('${', at)) depth += 1
    else if (text[at] === '}') depth -= 1
    if (depth === 0) return at
  }
  throw new SyntaxError(`"${text.slice(from - 2, from + 40)}" is not closed by }`)
}
