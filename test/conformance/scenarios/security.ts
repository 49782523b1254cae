// Wrong credentials and wrong TLS end in an error that can be acted upon; secrets and bodies stay out of every text.

import { strict as assert } from 'node:assert'

import { HubError } from '../../../src/sdk/index.ts'
import type { ErrorCode } from '../../../src/sdk/index.ts'
import type { Harness } from '../harness.ts'
import type { Scenario } from '../scenario.ts'

const REFUSED_WITHIN_MS = 10_000

async function assertRefused(
  harness: Harness,
  config: Readonly<Record<string, unknown>>,
  codes: readonly ErrorCode[],
  what: string,
): Promise<HubError> {
  const { source } = harness.source({ config })
  const limitMs = Math.min(REFUSED_WITHIN_MS, harness.suite.deadlineMs)
  const connected = source.connect(new AbortController().signal).then(() => 'connected')
  const error = await harness.within(connected, `connect with ${what}`, limitMs).catch((thrown: unknown) => thrown)
  assert.notEqual(error, 'connected', `connected in spite of ${what}`)
  assert.ok(error instanceof HubError, `${what}: ${String(error)}`)
  assert.ok(codes.includes(error.code), `${what}: expected ${codes.join(' or ')}, got ${error.code}: ${error.message}`)
  harness.said.push(error.message, error.hint, JSON.stringify(error.details))
  await harness.within(source.close(), 'close after a refusal')
  return error
}

export const securityScenarios: readonly Scenario[] = [
  {
    name: 'bad credentials are a named error within 10 s',
    unless: ({ broker }) => (broker.badCredentials === undefined ? 'the broker has no credentials' : undefined),
    async run(harness) {
      const config = harness.broker.badCredentials?.(harness.scope()) ?? {}
      const error = await assertRefused(harness, config, ['HUB_SOURCE_AUTH'], 'bad credentials')
      assert.equal(error.canRetry, false, 'waiting cannot mend bad credentials')
    },
  },
  {
    name: 'bad TLS is a named error within 10 s, with no fallback to plain text',
    unless: ({ broker }) => (broker.badTls === undefined ? 'the broker has no TLS' : undefined),
    async run(harness) {
      const configs = Object.entries(harness.broker.badTls?.(harness.scope()) ?? {})
      assert.ok(configs.length > 0)
      for (const [what, config] of configs) await assertRefused(harness, config, ['HUB_SOURCE_TLS'], what)
    },
  },
  {
    // The check itself is part of every scenario (Harness.finish); this one walks through all that a source may say.
    name: 'no secret and no body is in any log line or error',
    async run(harness) {
      const topic = await harness.topic('log')
      const source = await harness.open([topic])
      const [acked, rejected, open] = (await harness.publish(topic, 3)) as [string, string, string]
      await harness.arrived([acked, rejected, open], source)
      await source.of(acked)[0]?.ack()
      await source.of(rejected)[0]?.settle({ kind: 'reject', reason: 'a test', letters: [] })
      if (harness.manifest.capabilities.retry !== 'held')
        await source.of(open)[0]?.settle({ kind: 'retry', delayMs: 0, reason: 'a test' })
      await harness.within(source.close(), 'close')
      const probe = harness.source()
      const report = await harness.within(probe.source.probe([topic], new AbortController().signal), 'probe')
      harness.said.push(JSON.stringify(report))
      await probe.source.close()
    },
  },
]
