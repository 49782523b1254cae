// The version of the package, for user agents and `--version`.

import { readFileSync } from 'node:fs'

/** package.json is one level higher from the compiled files. */
const PACKAGE = new URL(
  import.meta.url.endsWith('.ts') ? '../../package.json' : '../../../package.json',
  import.meta.url,
)

export const VERSION: string = (JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string }).version
