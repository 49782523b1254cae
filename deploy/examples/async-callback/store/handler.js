'use strict'
const { mkdir, readFile, rename, writeFile } = require('node:fs/promises')
const { join } = require('node:path')

const FOLDER = process.env.RESULTS
/** What a callback says beside the body. */
const HEADERS = ['x-call-id', 'x-function-name', 'x-function-status', 'x-duration-seconds', 'x-retry', 'x-retry-max']

module.exports = async (event, context) => {
  if (event.method === 'GET') return show(event.path.slice(1), context)
  const headers = Object.fromEntries(HEADERS.map((name) => [name, event.headers[name]]))
  const path = pathOf(headers['x-call-id'])
  if (path === undefined) return context.status(400).fail('X-Call-Id is missing or odd')
  await mkdir(FOLDER, { recursive: true })
  // Whole or not at all: whoever reads it meanwhile sees nothing that is half written.
  await writeFile(`${path}.new`, JSON.stringify({ ...headers, body: event.body }))
  await rename(`${path}.new`, path)
  console.log(`result of ${headers['x-call-id']} stored`)
  return context.status(204).succeed()
}

async function show(callId, context) {
  const path = pathOf(callId)
  const text = path === undefined ? undefined : await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return context.status(404).fail(`no result of ${callId} yet`)
  return context.headers({ 'Content-Type': 'application/json' }).succeed(text)
}

/** A caller chooses its call id: it must not choose the file. */
function pathOf(callId) {
  return /^[\w-]{1,64}$/.test(callId ?? '') ? join(FOLDER, `${callId}.json`) : undefined
}
