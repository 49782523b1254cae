// Whether the brokers of a configuration can be reached and have the topics that functions want. Consumes nothing, invokes
// nothing, changes nothing there. Called by `doctor`.

import type { Wiring } from '../discovery/index.ts'
import { ERROR_CODES, HubError, detachedContext, formatDuration, orAborted, systemClock, within } from '../sdk/index.ts'
import type { ProbeReport, SourceLog, TopicReport } from '../sdk/index.ts'
import { failedCheck } from './checkup.ts'
import type { Check } from './checkup.ts'
import type { InstanceConfig } from './config.ts'
import { loadConnector } from './registry.ts'

export interface ConnectorCheckOptions {
  /** Of one broker, everything that is asked of it included. */
  readonly timeoutMs: number
  /** Called with each result as it comes. */
  readonly say: (...checks: readonly Check[]) => void
}

const nothing = (): void => undefined
const SILENT: SourceLog = { debug: nothing, info: nothing, warn: nothing, error: nothing }
/** So long a broker is not asked, because the topics to ask it for may come. */
const WIRING_WAIT_MS = 1000

/**
 * Says whether the broker can be reached as soon as that is known, however long the gateway takes to list the functions.
 * @param wiring undefined: the functions could not be read, and only the connection is looked at. Must not reject
 */
export async function checkConnector(
  instance: InstanceConfig,
  wiring: Promise<Wiring | undefined>,
  { timeoutMs, say }: ConnectorCheckOptions,
): Promise<void> {
  const { name } = instance
  try {
    const soon = await within(
      systemClock,
      WIRING_WAIT_MS,
      wiring.then((known) => ({ known })),
    )
    if (soon !== undefined) {
      const topics = topicsOf(instance, soon.known)
      const { server, topics: found } = await probe(instance, topics, timeoutMs)
      const unasked = soon.known !== undefined && topics.length === 0 ? '; no function asks for a topic of it' : ''
      say({ subject: name, outcome: 'ok', detail: `${server}${unasked}` }, ...found.map((one) => topicCheck(name, one)))
      return
    }
    const { server } = await probe(instance, [], timeoutMs)
    say({ subject: name, outcome: 'ok', detail: server })
    const topics = topicsOf(instance, await wiring)
    if (topics.length === 0) return
    say(...(await probe(instance, topics, timeoutMs)).topics.map((one) => topicCheck(name, one)))
  } catch (error) {
    say(failedCheck(name, error))
  }
}

function topicsOf({ name }: InstanceConfig, wiring: Wiring | undefined): readonly string[] {
  const subscriptions = wiring?.instance(name)?.subscriptions ?? []
  return [...new Set(subscriptions.map((one) => (one.kind === 'topic' ? one.topic : one.expression)))]
}

function topicCheck(
  instance: string,
  { topic, ok, detail, code = 'HUB_TOPIC_MISSING', fix = ERROR_CODES[code].fix }: TopicReport,
): Check {
  // prettier-ignore
  const subject = `${instance} ${topic}`
  return ok ? { subject, outcome: 'ok', detail } : { subject, outcome: 'failed', detail, code, fix }
}

async function probe(instance: InstanceConfig, topics: readonly string[], timeoutMs: number): Promise<ProbeReport> {
  const connector = await loadConnector(instance.settings.type)
  const source = connector.create(
    instance.source,
    detachedContext({ instance: instance.name, clock: systemClock, log: SILENT }),
  )
  const limit = new AbortController()
  const timer = systemClock.after(timeoutMs, () => limit.abort(silent(timeoutMs)))
  try {
    return await orAborted(source.probe(topics, limit.signal), limit.signal)
  } finally {
    timer.cancel()
    await source.close().catch(() => undefined)
  }
}

function silent(timeoutMs: number): HubError {
  return new HubError('HUB_SOURCE_UNREACHABLE', `no answer within ${formatDuration(timeoutMs)}`, {
    hint: 'Check the address and port, and whether the broker expects TLS there; a firewall that drops packets looks like this too.',
  })
}
