// Test events against a scripted broker: limits, codes and silences that no real broker has on demand.

import type { IPublishPacket, Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'

import type { Emitter, OutgoingEvent } from '../../src/sdk/index.ts'
import { agreeable, startFakeMqtt } from '../../test/servers/fake-mqtt.ts'
import type { FakeMqtt } from '../../test/servers/fake-mqtt.ts'
import { until } from '../../test/source-rig.ts'
import { toolsOf } from '../../test/tools-rig.ts'
import connector from './connector.ts'

type Properties = Readonly<Record<string, number>>

const accepting =
  (properties: Properties, answer: (packet: Packet) => readonly Packet[] = () => []) =>
  (packet: Packet): readonly Packet[] =>
    packet.cmd === 'connect'
      ? [{ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0, properties }]
      : [...agreeable(packet), ...answer(packet)]

async function emitter({ url }: FakeMqtt, config: Readonly<Record<string, unknown>> = {}): Promise<Emitter> {
  const opened = await (await toolsOf(connector, { url, ...config })).emitter?.(new AbortController().signal)
  if (opened === undefined) throw new Error('nothing can be published')
  return opened
}

const event = (body: string): OutgoingEvent => ({ topic: 't', body: Buffer.from(body), headers: {} })
const published = ({ received }: FakeMqtt): readonly IPublishPacket[] => received.filter((packet) => packet.cmd === 'publish') // prettier-ignore
const puback = (messageId: number, reasonCode = 0): Packet => ({ cmd: 'puback', messageId, reasonCode })

describe('the limits of the broker (MQTT 5.0 §3.2.2.3)', () => {
  test('are kept: receive maximum, QoS, packet size', async () => {
    await using server = await startFakeMqtt(5, accepting({ receiveMaximum: 7, maximumQoS: 1, maximumPacketSize: 100 }, (packet) => packet.cmd === 'publish' ? [puback(packet.messageId ?? 0)] : [])) // prettier-ignore
    await using out = await emitter(server, { qos: 2 })
    expect(out.inFlightMax).toBe(7)
    await expect(out.emit(event('x'.repeat(200)))).rejects.toMatchObject({
      code: 'HUB_USAGE',
      message: expect.stringContaining('the broker takes at most 100') as string,
    })
    expect(await out.emit(event('fits'))).toBe('t, PUBACK')
    expect(published(server).map(({ qos, retain, dup }) => [qos, retain, dup])).toEqual([[1, false, false]])
  })

  test('are kept for QoS 0, too', async () => {
    await using server = await startFakeMqtt(5, accepting({ maximumPacketSize: 100 }))
    await using out = await emitter(server, { qos: 0 })
    await expect(out.emit(event('x'.repeat(200)))).rejects.toMatchObject({ code: 'HUB_USAGE' })
    expect(await out.emit(event('fits'))).toBe('t, sent (QoS 0 is not confirmed)')
  })
})

describe('codes (MQTT 5.0 §3.4.2.1, §3.5.2.1)', () => {
  test.for([
    [0x80, 'refused', ''],
    [0x87, 'not authorized', 'ACL'],
    [0x90, 'the topic name is not allowed', 'Name a topic'],
    [0x97, 'over the quota', 'quota'],
    [0x99, 'the body is not of the format', 'Send a body'],
  ] as const)('QoS 1 and 2: %i is a refusal', async ([code, text, hint]) => {
    const refuse = (packet: Packet): readonly Packet[] =>
      packet.cmd === 'publish' ? [{ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId: packet.messageId ?? 0, reasonCode: code, properties: { reasonString: 'because\n' } }] : [] // prettier-ignore
    await using server = await startFakeMqtt(5, accepting({}, refuse))
    for (const qos of [1, 2]) {
      await using out = await emitter(server, { qos })
      await expect(out.emit(event('x'))).rejects.toMatchObject({
        code: 'HUB_EMIT_FAILED',
        message: expect.stringMatching(new RegExp(`${text}.*0x${code.toString(16)}, "because\\?"`)) as string,
        hint: expect.stringContaining(hint) as string,
      })
    }
    expect(server.received.some(({ cmd }) => cmd === 'pubrel')).toBe(false)
  })

  test('QoS 2: PUBREC, PUBREL, PUBCOMP; that nobody is subscribed stands in PUBREC', async () => {
    const answer = (packet: Packet): readonly Packet[] => {
      if (packet.cmd === 'publish') return [{ cmd: 'pubrec', messageId: packet.messageId ?? 0, reasonCode: 0x10 }]
      return packet.cmd === 'pubrel' ? [{ cmd: 'pubcomp', messageId: packet.messageId ?? 0, reasonCode: 0 }] : []
    }
    await using server = await startFakeMqtt(5, accepting({}, answer))
    await using out = await emitter(server, { qos: 2 })
    expect(await Promise.all([out.emit(event('a')), out.emit(event('b'))])).toEqual(Array.from({ length: 2 }, () => 't, PUBCOMP: nobody is subscribed to it')) // prettier-ignore
    const cmds = server.received.map(({ cmd }) => cmd).filter((cmd) => cmd.startsWith('pub'))
    expect(cmds.toSorted()).toEqual(['publish', 'publish', 'pubrel', 'pubrel'])
    expect(published(server).map(({ messageId }) => messageId)).toEqual([1, 2])
  })
})

describe('an answer', () => {
  test('belongs to its own message, whatever their order', async () => {
    await using server = await startFakeMqtt(5, accepting({}))
    await using out = await emitter(server)
    const results = Promise.allSettled(['a', 'b', 'c'].map((body) => out.emit(event(body))))
    await until(() => published(server).length === 3, 'all are sent')
    expect(published(server).map(({ payload }) => String(payload))).toEqual(['a', 'b', 'c'])
    server.send(puback(3), puback(1, 0x10), puback(2, 0x97), puback(2))
    expect((await results).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  test('that does not come within connectTimeout is a failure, of all that wait for one', async () => {
    await using server = await startFakeMqtt(5, accepting({}))
    await using out = await emitter(server, { connectTimeout: '200ms' })
    for (const result of await Promise.allSettled([out.emit(event('a')), out.emit(event('b'))]))
      expect((result as PromiseRejectedResult).reason).toMatchObject({
        code: 'HUB_EMIT_FAILED',
        canRetry: true,
        message: expect.stringContaining('said nothing for 200 ms') as string,
      })
  })

  test('that is a DISCONNECT says why', async () => {
    await using server = await startFakeMqtt(5, accepting({}))
    await using out = await emitter(server)
    const failed = out.emit(event('a'))
    await until(() => published(server).length === 1, 'it is sent')
    server.send({ cmd: 'disconnect', reasonCode: 0x87 })
    await expect(failed).rejects.toMatchObject({
      code: 'HUB_EMIT_FAILED',
      message: expect.stringContaining('DISCONNECT 0x87') as string,
    })
  })
})
