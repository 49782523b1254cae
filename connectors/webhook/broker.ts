// The webhook's side of the conformance suite: a caller that posts to the source, one request after the other. While nobody
// listens it keeps what it has and comes again, as providers do.

import type { EventMessage } from '../../src/sdk/index.ts'
import type { TestBroker, TestEvent } from '../../test/conformance/contract.ts'
import { pickPorts } from '../../test/servers/server.ts'

const TOKEN = 'conformance-t0ken'
const HOOK = 'conformance'
const AGAIN_MS = 20

export async function startBroker(): Promise<TestBroker> {
  const [port = 0] = await pickPorts(1)
  const ended = new AbortController()
  let topics = 0
  /** The last of what nobody has taken yet. */
  let kept: Promise<void> | undefined
  const keep = (event: string, from: readonly TestEvent[]): void => {
    const before = kept
    const later = async (): Promise<void> => {
      await before
      for (const one of from) while (!ended.signal.aborted && !(await take(port, event, one))) await pause()
      if (kept === mine) kept = undefined
    }
    const mine = later()
    kept = mine
  }
  return {
    name: 'callers over HTTP',
    features: {
      bodies: 'bytes',
      emptyBody: true,
      bodyBytesMax: 2_000_000,
      headers: ['plain'],
      keys: false,
      ordered: true,
      countsAttempts: true,
      stableIds: true,
      survivesRestart: false,
      retryDelayMs: 1,
    },
    config: () => ({
      listen: { host: '127.0.0.1', port },
      hooks: [{ name: HOOK, scheme: 'bearer', secret: TOKEN, eventHeader: 'X-Event', idHeader: 'X-Tag' }],
    }),
    topic: (name) => Promise.resolve(`${HOOK}:${name}-${(topics += 1)}`),
    publish: async (topic, events) => {
      const event = topic.slice(HOOK.length + 1)
      for (const [index, one] of events.entries())
        if (kept !== undefined || !(await take(port, event, one))) {
          keep(event, events.slice(index))
          return
        }
    },
    tagOf: ({ headers }: EventMessage) => headers['X-Webhook-Id'],
    [Symbol.asyncDispose]: async () => {
      ended.abort()
      await kept
    },
  }
}

/** False when nobody listens. */
async function take(port: number, event: string, { tag, body, headers = {} }: TestEvent): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/hooks/${HOOK}`, {
    method: 'POST',
    body,
    headers: { ...headers, Authorization: `Bearer ${TOKEN}`, 'X-Event': event, 'X-Tag': tag },
  }).catch(() => undefined)
  if (response === undefined) return false
  const text = await response.text()
  if (!response.ok) throw new Error(`${tag}: ${response.status} ${text}`)
  return true
}

const pause = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, AGAIN_MS))
