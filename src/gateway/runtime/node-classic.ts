// Runs inside a process of its own for one call of OpenFaaS's Node template on the classic watchdog: stdin to the handler,
// what it calls back with to stdout. Started by process-runtime.ts.

import { text } from 'node:stream/consumers'

import { textOf } from './node-answer.ts'
import { loadHandler } from './node-handler.ts'

const { HUB_HANDLER: folder = '' } = process.env
delete process.env['HUB_HANDLER']

const handler = await loadHandler(folder)
const result = handler(await text(process.stdin), (error: unknown, value: unknown) => answer(error, value))
if (result instanceof Promise)
  result.then(
    (value: unknown) => answer(undefined, value),
    (error: unknown) => answer(error, undefined),
  )

/** By the template's rules: an error goes to stderr, and the exit status stays 0. */
function answer(error: unknown, value: unknown): void {
  if (error) console.error(error)
  else if (Array.isArray(value) || isPlain(value)) console.log(JSON.stringify(value))
  else if (value) process.stdout.write(value instanceof Uint8Array ? value : textOf(value))
}

function isPlain(value: unknown): boolean {
  return typeof value === 'object' && value !== null && value.constructor === Object
}
