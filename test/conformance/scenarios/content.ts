// What an event is when it arrives: its bytes, its headers, its identity.

import { strict as assert } from 'node:assert'

import { topicProblem } from '../../../src/sdk/index.ts'
import type { HeaderKind } from '../contract.ts'
import type { Scenario } from '../scenario.ts'
import { anyOf, unlessBodies, unlessDurable } from '../scenario.ts'

const MIB = 2 ** 20

const HEADERS: Readonly<
  Record<HeaderKind, { readonly name: string; readonly value: string; readonly plain: boolean }>
> = {
  plain: { name: 'X-Plain', value: 'a plain value; with=signs', plain: true },
  crlf: { name: 'X-Lines', value: 'one\r\nX-Injected: yes', plain: false },
  'non-ascii': { name: 'X-Accents', value: 'grün ✓', plain: false },
}

export const contentScenarios: readonly Scenario[] = [
  {
    name: 'a body arrives byte for byte: empty, every byte value, 1 MiB',
    unless: unlessBodies,
    async run(harness) {
      const { features } = harness
      const large = Buffer.alloc(Math.min(MIB, features.bodyBytesMax), 'large body, ')
      if (features.bodies === 'bytes') for (let at = 0; at < large.length; at += 257) large[at] = at % 256
      const bodies = [
        ...(features.emptyBody ? [Buffer.alloc(0)] : []),
        ...(features.bodies === 'bytes' ? [Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))] : []),
        Buffer.from('{"text": "grün ✓ 😀"}\r\n\tend '),
        large,
      ]
      const topic = await harness.topic('bodies')
      const source = await harness.open([topic])
      for (const [index, body] of bodies.entries()) {
        await harness.publish(topic, 1, () => ({ body }))
        await harness.until(() => source.arrivals.length > index, `a body of ${body.length} bytes arrives`)
        const { message } = source.arrivals[index] as (typeof source.arrivals)[number]
        assert.ok(Buffer.compare(message.body, body) === 0, `a body of ${body.length} bytes was changed on its way`)
        await source.arrivals[index]?.ack()
      }
    },
  },
  {
    name: 'headers of an event are safe for HTTP: encoded where needed, never injected',
    unless: ({ features }) => (features.headers.length === 0 ? 'the broker has no headers' : undefined),
    async run(harness) {
      const sent = harness.features.headers.map((kind) => HEADERS[kind])
      const topic = await harness.topic('headers')
      const source = await harness.open([topic])
      const headers = { ...Object.fromEntries(sent.map(({ name, value }) => [name, value])), Host: 'elsewhere' }
      const tags = await harness.publish(topic, 1, () => ({ headers }))
      await harness.arrived(tags, source)
      const arrived = Object.entries(source.arrivals[0]?.message.headers ?? {})
      for (const [name, value] of arrived) {
        assert.match(name, /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'a header name is not an HTTP token')
        assert.match(value, /^[\x20-\x7e\t]*$/, `the value of ${name} cannot be sent over HTTP as it is`)
      }
      const received = new Map(arrived.map(([name, value]) => [name.toLowerCase(), value]))
      assert.equal(received.has('x-injected'), false, 'a header was injected')
      assert.equal(received.has('host'), false, 'a header of the invocation itself was set by a publisher')
      for (const { name, value, plain } of sent) {
        const expected = `${harness.features.headerPrefix ?? ''}${name}`.toLowerCase()
        assert.equal(received.get(expected), plain ? value : Buffer.from(value).toString('base64'), name)
        assert.equal(received.get(`${expected}-enc`), plain ? undefined : 'b64', `${name}-Enc`)
      }
    },
  },
  {
    name: 'an event states its source, its topic, its time and that this is its first attempt',
    async run(harness) {
      const { manifest } = harness
      const topic = await harness.topic('stated')
      const source = await harness.open([topic])
      await harness.arrived(await harness.publish(topic, 1), source)
      const message = source.arrivals[0]?.message
      assert.equal(message?.source, manifest.name)
      assert.equal(message.attempt, 1)
      assert.ok(message.timestampMs > 0 && Number.isFinite(message.timestampMs), 'timestampMs')
      assert.notEqual(message.id, '')
      if (manifest.trigger === 'topic') assert.equal(message.topic, topic)
      assert.equal(topicProblem(manifest.capabilities.topicSyntax, message.topic), undefined)
    },
  },
  {
    name: 'an id names one event: equal on its redelivery, different from every other',
    unless: anyOf(unlessDurable, ({ features }) =>
      features.stableIds ? undefined : 'the protocol has nothing to tell events by (features.stableIds)',
    ),
    async run(harness) {
      const topic = await harness.topic('ids')
      const first = await harness.open([topic])
      const tags = await harness.publish(topic, 4)
      await harness.arrived(tags, first)
      await harness.within(first.close(), 'close')
      const second = await harness.open([topic])
      await harness.arrived(tags, second)
      for (const tag of tags)
        assert.equal(second.of(tag)[0]?.message.id, first.of(tag)[0]?.message.id, 'an id changed on redelivery')
      assert.equal(new Set(first.arrivals.map(({ message }) => message.id)).size, tags.length, 'two events share an id')
    },
  },
]
