// One question to a function over its own runtime, as a kubelet asks. Called by probed-runtime.ts and watched-runtime.ts, who
// know what the answers mean.

import { Readable } from 'node:stream'

import type { Clock } from '../../sdk/index.ts'
import type { HttpProbe } from '../probes.ts'
import type { FunctionRuntime } from './runtime.ts'

/** Beyond the probe's own limit. */
const MARGIN_MS = 60_000
const HEADERS = ['Host', 'localhost', 'User-Agent', 'connector-hub-probe']

/** Undefined when it says yes (2xx or 3xx); else what it did instead, as text. Never rejects. */
export async function failureOf(runtime: FunctionRuntime, probe: HttpProbe, clock: Clock): Promise<string | undefined> {
  const late = new AbortController()
  const timer = clock.after(probe.timeoutMs, () => late.abort())
  try {
    const { status, body, socket } = await runtime.call({
      method: 'GET',
      path: probe.path,
      headers: HEADERS,
      body: undefined,
      isProbe: true,
      // The limit is the timer's: what takes longer than a probe may is not blocked.
      timeoutMs: 2 * probe.timeoutMs + MARGIN_MS,
      signal: late.signal,
    })
    if (body instanceof Readable) body.destroy()
    socket?.destroy()
    return status >= 200 && status < 400 ? undefined : `answers ${status}`
  } catch {
    return late.signal.aborted ? `does not answer within ${probe.timeoutMs} ms` : 'does not answer'
  } finally {
    timer.cancel()
  }
}
