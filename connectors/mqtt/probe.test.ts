// What `doctor` is told of an MQTT broker, and what a look and a test event are told likewise: each thing that is wrong by
// name, with what to change.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { HubError } from '../../src/sdk/index.ts'
import type { ProbeReport } from '../../src/sdk/index.ts'
import { LogRecord } from '../../test/conformance/recording.ts'
import { agreeable, startFakeMqtt } from '../../test/servers/fake-mqtt.ts'
import { noMosquitto, startMosquitto } from '../../test/servers/mosquitto.ts'
import type { MosquittoServer } from '../../test/servers/mosquitto.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import type { Certificates } from '../../test/servers/tls.ts'
import { Look, toolsOf } from '../../test/tools-rig.ts'
import connector from './connector.ts'
import { MqttRig } from './rig.ts'

type Config = Readonly<Record<string, unknown>>

async function probe(config: Config, topics: readonly string[] = ['a']): Promise<ProbeReport> {
  await using rig = new MqttRig(config)
  return await rig.source.probe(topics, new AbortController().signal)
}

/** The errors of a probe, a look and a test event. */
async function refusals(config: Config): Promise<readonly HubError[]> {
  const tools = await toolsOf(connector, config)
  const attempts = [
    () => probe(config),
    () => Look.open(tools, ['a']),
    () => tools.emitter?.(new AbortController().signal),
  ]
  const refused: HubError[] = []
  for (const attempt of attempts) {
    const error: unknown = await Promise.resolve(attempt()).catch((thrown: unknown) => thrown)
    if (!(error instanceof HubError)) throw new Error('nothing is wrong', { cause: error })
    refused.push(error)
  }
  return refused
}

describe('a real broker', () => {
  const missing = noMosquitto() ?? noCertificates()
  const credentials = { username: 'hub', password: 'correct horse' }
  let files: Certificates
  let server: MosquittoServer

  beforeAll(async () => {
    if (missing !== undefined) return
    files = createCertificates()
    server = await startMosquitto({ credentials, tls: { ...files, requireClient: false } })
  })
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]()
    files?.[Symbol.dispose]()
  })

  test.for([
    ['a wrong password', () => ({ url: server.url, ...credentials, password: 'wrong-secret' }), 'HUB_SOURCE_AUTH', 'password'], // prettier-ignore
    ['a wrong CA', () => ({ url: server.tlsUrl, ...credentials, tls: { caFile: files.otherCaFile } }), 'HUB_SOURCE_TLS', 'tls.caFile'], // prettier-ignore
    ['nobody there', () => ({ url: 'mqtt://127.0.0.1:1' }), 'HUB_SOURCE_UNREACHABLE', 'address'],
    ['TLS where there is none', () => ({ url: String(server.tlsUrl).replace('mqtts:', 'mqtt:') }), 'HUB_SOURCE_UNREACHABLE', 'mqtts://'], // prettier-ignore
  ] as const)('%s', async ([, config, code, hint], context) => {
    context.skip(missing !== undefined, missing)
    for (const error of await refusals(config())) {
      expect(error.code).toBe(code)
      expect(error.hint).toContain(hint)
      expect(error.message).not.toContain('wrong-secret')
    }
  })

  test('what is read is asked for: the configured topics, without their channel keys', async (context) => {
    context.skip(missing !== undefined, missing)
    const config = { url: server.url, ...credentials, topics: ['k1/sensors/#', '$share/g/k1/doors'] }
    expect((await probe(config)).topics).toEqual([
      { topic: 'k1/sensors/#', ok: true, detail: 'may be subscribed to' },
      { topic: '$share/g/k1/doors', ok: true, detail: 'may be subscribed to' },
    ])
    expect((await probe({ ...config, trimChannelKey: true })).topics.map(({ topic }) => topic)).toEqual(['sensors/#', 'doors']) // prettier-ignore
  })
})

describe('a scripted broker', () => {
  const granting = (codes: readonly number[]): Parameters<typeof startFakeMqtt>[1] => (packet) =>
    packet.cmd === 'subscribe' ? [{ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [...codes] }] : agreeable(packet) // prettier-ignore

  test('that refuses topics: each by name, with its fix', async () => {
    await using server = await startFakeMqtt(5, granting([0, 0x87, 0xa2, 1]))
    const { topics } = await probe({ url: server.url }, ['less', 'denied', 'wild/#', 'fine'])
    expect(topics.map(({ ok, code }) => [ok, code])).toEqual([
      [true, undefined],
      [false, 'HUB_SOURCE_FORBIDDEN'],
      [false, 'HUB_TOPIC_INVALID'],
      [true, undefined],
    ])
    expect(topics[0]?.detail).toContain('with QoS 0 only where 1 was asked for')
    expect(topics[1]?.detail).toContain('not authorized')
    expect(topics[1]?.fix).toContain('subscribe to denied')
    expect(topics[3]?.detail).toBe('may be subscribed to')
  })

  test('that refuses a part of what is looked at: the rest is, and it says so; all of it is an error', async () => {
    const codes = [0x87, 1]
    await using server = await startFakeMqtt(
      5,
      (packet) =>
      packet.cmd === 'subscribe' ? [{ cmd: 'suback', messageId: packet.messageId ?? 0, granted: codes.splice(0, 1) }] : agreeable(packet), // prettier-ignore
    )
    const log = new LogRecord()
    const tools = await toolsOf(connector, { url: server.url }, { log })
    await using open = await Look.open(tools, ['denied', 'fine'])
    server.send({ cmd: 'publish', topic: 'fine', payload: 'x', qos: 0, dup: false, retain: false })
    await open.saw(1)
    expect(log.lines.join('\n')).toMatch(/mqtt\.refused.*denied \(not authorized/)
    codes.push(0x87)
    await expect(Look.open(tools, ['denied'])).rejects.toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN' })
  })

  test.for([
    [5, 'Set protocolVersion: 4'],
    [4, 'has to be updated'],
  ] as const)('that is too old for protocol version %i', async ([protocolVersion, hint]) => {
    // MQTT 3.1.1 §3.2.2.3: unacceptable protocol version.
    await using server = await startFakeMqtt(4, (packet) =>
      packet.cmd === 'connect' ? [{ cmd: 'connack', sessionPresent: false, returnCode: 1 }] : [],
    )
    for (const error of await refusals({ url: server.url, protocolVersion })) {
      expect(error.code).toBe('HUB_SOURCE_PROTOCOL')
      expect(error.hint).toContain(hint)
    }
  })

  test('that is too old and only hangs up', async () => {
    await using server = await startFakeMqtt(4, (packet) => {
      if (packet.cmd === 'connect') server.hangUp()
      return []
    })
    for (const error of await refusals({ url: server.url })) {
      expect(error.code).toBe('HUB_SOURCE_UNREACHABLE')
      expect(error.hint).toContain('protocolVersion: 4')
    }
  })

  test('that allows some client ids only names the one that it refused', async () => {
    await using server = await startFakeMqtt(5, (packet) =>
      packet.cmd === 'connect' ? [{ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0x85 }] : [],
    )
    const [, look, emit] = await refusals({ url: server.url })
    expect(look?.hint).toMatch(/Allow the client id connector-hub-peek-\w{8} at the broker/)
    expect(emit?.hint).toMatch(/Allow the client id connector-hub-emit-\w{8} at the broker/)
  })
})
