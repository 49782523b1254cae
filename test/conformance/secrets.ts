// Which texts of a configuration must never be seen: the fields declared secret, and passwords inside of URLs.

import { readFileSync } from 'node:fs'

import type { Fields } from '../../src/sdk/index.ts'

export function secretsIn(fields: Fields, config: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(fields).flatMap(([name, declared]) => {
    const value = config[name]
    if (declared.fields !== undefined)
      return typeof value === 'object' && value !== null
        ? secretsIn(declared.fields, value as Readonly<Record<string, unknown>>)
        : []
    const { entry } = declared
    if (entry !== undefined)
      return Array.isArray(value)
        ? value.flatMap((item: unknown) => (typeof item === 'object' && item !== null ? secretsIn(entry, item as Readonly<Record<string, unknown>>) : [])) // prettier-ignore
        : []
    if (declared.kind === 'secret') {
      const file = config[`${name}File`]
      return typeof value === 'string'
        ? [value]
        : typeof file === 'string'
          ? [readFileSync(file, 'utf8').trimEnd()]
          : []
    }
    if (declared.kind === 'url' && typeof value === 'string' && URL.canParse(value)) {
      const { password } = new URL(value)
      return password === '' ? [] : [password, decodeURIComponent(password)]
    }
    return []
  })
}
