// What the page asks of the gateway, in the words of its REST API. Shows nothing.

/**
 * @typedef {object} FunctionStatus
 * @property {string} name
 * @property {string} namespace
 * @property {string} image
 * @property {string} createdAt
 * @property {string} [envProcess]
 * @property {Record<string, string>} [envVars]
 * @property {Record<string, string>} [labels]
 * @property {Record<string, string>} [annotations]
 * @property {string[]} [secrets]
 * @property {string[]} [constraints]
 * @property {Record<string, string>} [limits]
 * @property {Record<string, string>} [requests]
 * @property {boolean} [readOnlyRootFilesystem]
 * @property {number} [invocationCount] left out when 0, as the next two
 * @property {number} [replicas]
 * @property {number} [availableReplicas]
 */

/**
 * As it is sent to deploy.
 * @typedef {Omit<FunctionStatus, 'name' | 'createdAt' | 'invocationCount' | 'replicas' | 'availableReplicas'> & { service: string }} Deployment
 */

/** The page lies at `ui/` beside the API, also behind a proxy that has put both below a path of its own. */
export const BASE = new URL('../', document.baseURI)
// Fetch takes no address with credentials in it; the browser sends those that it was given.
BASE.username = ''
BASE.password = ''

/** The gateway's own answer, word for word. */
export class Refused extends Error {
  /** @param {Response} response @param {string} text */
  constructor(response, text) {
    super(`${response.status} ${response.statusText}${text.trim() === '' ? '' : `: ${text.trim()}`}`)
    this.status = response.status
  }
}

/** @param {string} path @param {RequestInit} [init] */
async function ask(path, init) {
  const response = await fetch(new URL(path, BASE), init)
  if (!response.ok) throw new Refused(response, await response.text())
  return response
}

/** @param {string} method @param {string} path @param {unknown} body */
async function change(method, path, body) {
  await ask(path, { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
}

/** @returns {Promise<string[]>} */
export async function listNamespaces() {
  return await (await ask('system/namespaces')).json()
}

/** As text, so that a list that has not changed is not read. @param {string} namespace @param {AbortSignal} signal */
export async function listFunctions(namespace, signal) {
  return await (await ask(`system/functions?namespace=${encodeURIComponent(namespace)}`, { signal })).text()
}

/** Names only; values never leave the gateway. @param {string} namespace @returns {Promise<{ name: string }[]>} */
export async function listSecrets(namespace) {
  return await (await ask(`system/secrets?namespace=${encodeURIComponent(namespace)}`)).json()
}

/** @param {Deployment} deployment @param {boolean} isNew */
export async function deploy(deployment, isNew) {
  await change(isNew ? 'POST' : 'PUT', 'system/functions', deployment)
}

/** @param {FunctionStatus} shown */
export async function remove({ name, namespace }) {
  await change('DELETE', `system/functions?namespace=${encodeURIComponent(namespace)}`, {
    functionName: name,
    namespace,
  })
}

/**
 * The gateway has limits of its own. @param {FunctionStatus} shown @param {number} replicas
 * @returns {Promise<number>} as many as are wanted now
 */
export async function scale({ name, namespace }, replicas) {
  const path = `${encodeURIComponent(name)}?namespace=${encodeURIComponent(namespace)}`
  await change('POST', `system/scale-function/${path}`, { serviceName: name, namespace, replicas })
  /** @type {FunctionStatus} */
  const after = await (await ask(`system/function/${path}`)).json()
  return after.replicas ?? 0
}

/**
 * Its log, line by line as it is printed; ends when the gateway ends it.
 * @param {FunctionStatus} shown
 * @param {Record<string, string>} options `tail` or `since`
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{ timestamp: string, instance: string, text: string }>}
 */
export async function* followLogs({ name, namespace }, options, signal) {
  const query = new URLSearchParams({ name, namespace, follow: 'true', ...options })
  const { body } = await ask(`system/logs?${query}`, { signal })
  let rest = ''
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') yield JSON.parse(line)
  }
}

/**
 * Takes an async call out of the queue, or ends it where it runs.
 * @param {string} id
 * @returns {Promise<boolean>} false: it is neither queued nor running
 */
export async function cancelCall(id) {
  try {
    await ask(`async-function/${encodeURIComponent(id)}`, { method: 'DELETE' })
    return true
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return false
    throw error
  }
}

/**
 * Where calls of a function go. @param {{ name: string, namespace: string }} shown @param {boolean} [isAsync]
 */
export function functionUrl({ name, namespace }, isAsync = false) {
  return new URL(`${isAsync ? 'async-function' : 'function'}/${name}.${namespace}`, BASE)
}
