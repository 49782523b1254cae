// Finds and loads a function's handler, in the function's own process. Used by both runners.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const FILES = ['./handler.js', './handler.mjs', './handler.cjs', './index.js', './handler.ts', '.']

/** CommonJS or an ES module's default export. @throws Error when there is none, and whatever loading it throws */
export async function loadHandler(directory: string): Promise<(...given: readonly unknown[]) => unknown> {
  const require = createRequire(join(directory, 'package.json'))
  const file = FILES.map((name) => resolveFrom(require, name)).find((path) => path !== undefined)
  if (file === undefined) throw new Error(`no handler.js in ${directory}`)
  const module = (await import(pathToFileURL(file).href)) as { default?: unknown }
  const exported =
    typeof module.default === 'function'
      ? module.default
      : (module.default as { default?: unknown } | undefined)?.default
  if (typeof exported !== 'function') throw new Error(`${file} does not export a function`)
  return exported as (...given: readonly unknown[]) => unknown
}

function resolveFrom(require: NodeJS.Require, name: string): string | undefined {
  try {
    return require.resolve(name)
  } catch {
    return undefined
  }
}
