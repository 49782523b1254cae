// Whether what a configuration names can be reached and used, one check after the other. Consumes nothing, invokes nothing,
// changes nothing at gateway and brokers. Called by `doctor`.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { request } from 'undici'

import { ERROR_CODES, HubError, asHubError, errorText, orAborted, systemClock } from '../sdk/index.ts'
import type { ErrorCode, ProbeReport, SourceContext, SourceLog, TopicReport } from '../sdk/index.ts'
import type { Wiring } from '../discovery/index.ts'
import type { HubConfig, InstanceConfig } from './config.ts'
import { loadConnector } from './registry.ts'

export interface Check {
  /** `gateway`, `state`, or the name of a connector, with its topic where it is about one. */
  readonly subject: string
  readonly outcome: 'ok' | 'warning' | 'failed'
  /** One sentence. Never a secret. */
  readonly detail: string
  readonly code?: ErrorCode
  /** What to do about it. */
  readonly fix?: string
}

/** Of the gateway's clock from ours, beyond which time stamps and schedules mislead. */
const SKEW_MAX_MS = 5000
const PROBE_MS = 20_000

/** A gateway that answers: its clock. `Date` has whole seconds, so half a second counts as none. */
export async function checkClock(gatewayUrl: string): Promise<Check | undefined> {
  const sentAtMs = Date.now()
  let date: string | undefined
  try {
    // Not fetch, which does not speak to every port.
    const { headers, body } = await request(new URL('healthz', gatewayUrl.endsWith('/') ? gatewayUrl : `${gatewayUrl}/`), { signal: AbortSignal.timeout(PROBE_MS) }) // prettier-ignore
    await body.dump()
    date = headers['date']?.toString()
  } catch {
    // Whether it can be reached is another check.
    return undefined
  }
  const gatewayMs = Date.parse(date ?? '')
  if (Number.isNaN(gatewayMs)) return undefined
  const offMs = gatewayMs + 500 - (sentAtMs + Date.now()) / 2
  const text = `its clock is ${(Math.abs(offMs) / 1000).toFixed(0)} s ${offMs > 0 ? 'ahead of' : 'behind'} ours`
  if (Math.abs(offMs) <= SKEW_MAX_MS) return { subject: 'clock', outcome: 'ok', detail: 'that of the gateway agrees with ours' } // prettier-ignore
  return { subject: 'clock', outcome: 'warning', detail: text, fix: 'Synchronise both machines (NTP): lag, schedules and signed requests go by the clock.' } // prettier-ignore
}

/** Whether dead letters and state can be written. Leaves nothing behind but the folder. */
export function checkState(stateDir: string): Check {
  const file = join(stateDir, `.doctor-${process.pid}`)
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    writeFileSync(file, '', { flush: true })
    rmSync(file)
    return { subject: 'state', outcome: 'ok', detail: `${stateDir} can be written` }
  } catch (error) {
    const { code, message, hint } = new HubError('HUB_STATE_UNUSABLE', `${stateDir}: ${errorText(error)}`)
    return { subject: 'state', outcome: 'failed', detail: message, code, fix: hint }
  }
}

/** All connectors at once, each with the topics that its functions want. */
export async function checkConnectors({ instances }: HubConfig, wiring: Wiring | undefined): Promise<readonly Check[]> {
  const checks = await Promise.all(
    instances.map((instance) => {
      const subscriptions = wiring?.instance(instance.name)?.subscriptions ?? []
      return checkConnector(
        instance,
        subscriptions.map((one) => (one.kind === 'topic' ? one.topic : one.expression)),
      )
    }),
  )
  return checks.flat()
}

async function checkConnector(instance: InstanceConfig, topics: readonly string[]): Promise<readonly Check[]> {
  const { name } = instance
  try {
    const { server, topics: found } = await probe(instance, [...new Set(topics)])
    const wanted = topics.length === 0 ? '; no function asks for a topic of it' : ''
    return [
      { subject: name, outcome: 'ok', detail: `${server}${wanted}` },
      ...found.map((report) => topicCheck(name, report)),
    ]
  } catch (error) {
    const { code, message, hint } = asHubError(error)
    return [{ subject: name, outcome: 'failed', detail: message, code, fix: hint }]
  }
}

function topicCheck(
  instance: string,
  { topic, ok, detail, code = 'HUB_TOPIC_MISSING', fix = ERROR_CODES[code].fix }: TopicReport,
): Check {
  // prettier-ignore
  const subject = `${instance} ${topic}`
  return ok ? { subject, outcome: 'ok', detail } : { subject, outcome: 'failed', detail, code, fix }
}

async function probe(instance: InstanceConfig, topics: readonly string[]): Promise<ProbeReport> {
  const connector = await loadConnector(instance.settings.type)
  const source = connector.create(instance.source, contextOf(instance.name))
  const limit = new AbortController()
  const timer = systemClock.after(PROBE_MS, () => limit.abort(new HubError('HUB_SOURCE_UNREACHABLE', `no answer within ${PROBE_MS / 1000} s`))) // prettier-ignore
  try {
    return await orAborted(source.probe(topics, limit.signal), limit.signal)
  } finally {
    timer.cancel()
    await source.close().catch(() => undefined)
  }
}

/** For a source that is only asked. */
function contextOf(instance: string): SourceContext {
  const nothing = (): void => undefined
  const log: SourceLog = { debug: nothing, info: nothing, warn: nothing, error: nothing }
  const kept = new Map<string, string>()
  return {
    instance,
    clock: systemClock,
    log,
    state: {
      get: (key) => Promise.resolve(kept.get(key)),
      set: (key, value) => Promise.resolve(void kept.set(key, value)),
      delete: (key) => Promise.resolve(void kept.delete(key)),
    },
    inbox: () => {
      throw new HubError('HUB_INTERNAL', 'a source that is only asked has no inbox')
    },
    unsettledMax: 1,
    counter: () => ({ add: nothing }),
    gauge: nothing,
  }
}
