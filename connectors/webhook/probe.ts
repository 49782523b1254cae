// Could the hub listen, is it a hub that already does, and are there hooks for the topics? Called by webhook-source.ts.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { HttpEndpoint, HubError, errorChain, nearest } from '../../src/sdk/index.ts'
import type { ProbeReport, TopicReport } from '../../src/sdk/index.ts'
import { Caller } from './caller.ts'
import { eventHeaderOf } from './hooks.ts'
import type { WebhookConfig } from './hooks.ts'

/**
 * Takes the port for a moment unless it is in use; who calls meanwhile is asked to come again.
 * @param address where this source listens already; undefined: nowhere
 * @throws HubError HUB_SOURCE_LISTEN, HUB_SOURCE_TLS
 */
export async function probeHooks(
  config: WebhookConfig,
  address: string | undefined,
  topics: readonly string[],
  signal: AbortSignal,
): Promise<ProbeReport> {
  const { listen, path } = config
  checkCertificate(listen.certFile)
  const state = address === undefined ? await tryPort(config, signal) : 'listening'
  const at = address ?? `${listen.host}:${listen.port}`
  return { server: `webhooks at ${at}${path}/, ${state}`, topics: topics.map((topic) => report(topic, config)) }
}

async function tryPort(config: WebhookConfig, signal: AbortSignal): Promise<string> {
  try {
    const endpoint = await HttpEndpoint.open({
      listen: config.listen,
      handle: () => Promise.resolve({ status: 503, headers: { 'Retry-After': '1' }, body: 'not started yet\n' }),
      failed: () => undefined,
    })
    await endpoint.close()
    return 'which is free'
  } catch (error) {
    if (!errorChain(error).some((one) => (one as NodeJS.ErrnoException).code === 'EADDRINUSE')) throw error
    return await askWhoListens(config, signal, error)
  }
}

/** A hub answers to anything but a POST to one of its hooks that it takes nothing else. */
async function askWhoListens(config: WebhookConfig, signal: AbortSignal, inUse: unknown): Promise<string> {
  const caller = new Caller(config, 1)
  const other = (what: string, hint: string): HubError => new HubError('HUB_SOURCE_LISTEN', `${caller.address}: ${what}`, { cause: inUse, hint, canRetry: true }) // prettier-ignore
  try {
    const { status, headers } = await caller.look(config.hooks[0]?.name ?? '', signal)
    if (status === 405 && headers.allow === 'POST') return 'where a hub is running'
    throw other(`something listens there that is not a hub with these hooks (it answered ${status})`, 'Set listen.port to a free port, stop what is using it, or restart the hub with this configuration.') // prettier-ignore
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof HubError) || error.code !== 'HUB_EMIT_FAILED') throw error
    throw other(`something listens there, and does not answer as a hub: ${error.message}`, 'Set listen.port to a free port, stop what is using it, or restart the hub with this configuration.') // prettier-ignore
  } finally {
    caller.close()
  }
}

/** That it is a certificate, with its key, is seen when it is used. */
function checkCertificate(certFile: string | undefined): void {
  if (certFile === undefined) return
  let validTo: Date
  try {
    validTo = new X509Certificate(readFileSync(certFile)).validToDate
  } catch {
    return
  }
  if (validTo.getTime() > Date.now()) return
  throw new HubError('HUB_SOURCE_TLS', `listen.certFile: the certificate has expired on ${validTo.toISOString()}`, { hint: 'Renew the certificate and restart the hub: callers do not accept it.' }) // prettier-ignore
}

function report(topic: string, { hooks }: WebhookConfig): TopicReport {
  const [name = '', event] = topic.split(':', 2)
  const hook = hooks.find((one) => one.name === name)
  if (hook === undefined) {
    const near = nearest(name, hooks.map((one) => one.name)) // prettier-ignore
    const meant = near === undefined ? '' : ` (${near}?)`
    return { topic, ok: false, detail: `no hook is called ${name}`, fix: `Add a hook of that name to hooks, or correct the topic annotation${meant}.` } // prettier-ignore
  }
  const isNamed = event === undefined || event === '*' || hook.scheme === 'stripe' || eventHeaderOf(hook) !== undefined
  if (!isNamed) return { topic, ok: false, detail: `requests to the hook ${name} name no event, so nothing is ever on this topic`, fix: `Set eventHeader of the hook to the header that names it, or annotate ${name}.` } // prettier-ignore
  return { topic, ok: true, detail: `scheme: ${hook.scheme}` }
}
