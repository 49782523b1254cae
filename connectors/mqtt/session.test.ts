// The connection against a scripted server and a clock that the test moves: what no real broker does on demand.

import type { IConnectPacket, IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet'
import { describe, expect, test, vi } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import { agreeable, startFakeMqtt } from '../../test/servers/fake-mqtt.ts'
import { MemoryState, MqttRig, ack, refusal, until } from './rig.ts'

const publish = (messageId: number, more: Partial<IPublishPacket> = {}): IPublishPacket => ({
  cmd: 'publish', topic: 't', payload: `event ${messageId}`, qos: 1, dup: false, retain: false, messageId, ...more,
}) // prettier-ignore

const sent = (packets: readonly Packet[], cmd: Packet['cmd']): Packet[] =>
  packets.filter((packet) => packet.cmd === cmd)

describe('CONNECT', () => {
  test('MQTT 5 asks for the window and the session that the configuration names', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    const config = {
      url: server.url,
      sessionExpiry: '2h',
      keepAlive: '45s',
      username: 'u',
      password: 'p',
      clientId: 'me',
    }
    await using rig = await MqttRig.open(config, ['t'], { unsettledMax: 17 })
    const connect = server.received[0] as IConnectPacket
    expect(rig.ending).toBeUndefined()
    expect(connect).toMatchObject({ cmd: 'connect', protocolVersion: 5, clientId: 'me', clean: false, keepalive: 45 })
    expect(connect.properties).toEqual({ receiveMaximum: 17, sessionExpiryInterval: 7200 })
    expect([connect.username, String(connect.password)]).toEqual(['u', 'p'])
  })

  test('the receive maximum ends at the largest the protocol has', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    await using rig = await MqttRig.open({ url: server.url }, ['t'], { unsettledMax: 100_000 })
    expect((server.received[0] as IConnectPacket).properties?.receiveMaximum).toBe(65_535)
    expect(rig.ending).toBeUndefined()
  })

  test('a clean session is neither taken nor left; credentials of the address are used and not printed', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    const url = server.url.replace('mqtt://', 'mqtt://user:s3cret%2F@')
    await using rig = await MqttRig.open({ url, clean: true }, ['t'])
    const connect = server.received[0] as IConnectPacket
    expect(connect).toMatchObject({ clean: true, username: 'user', properties: { sessionExpiryInterval: 0 } })
    expect(String(connect.password)).toBe('s3cret/')
    server.hangUp()
    const { message } = await rig.lost()
    expect(message).toContain(server.url)
    expect(message).not.toContain('s3cret')
  })

  test('a broker that refuses MQTT 5 is spoken to in 3.1.1, each time anew', async () => {
    await using server = await startFakeMqtt(4, (packet) => {
      if (packet.cmd !== 'connect' || packet.protocolVersion === 4) return agreeable(packet)
      return [{ cmd: 'connack', sessionPresent: false, returnCode: 1 }]
    })
    const versions = (): readonly unknown[] => sent(server.received, 'connect').map((packet) => (packet as IConnectPacket).protocolVersion) // prettier-ignore
    await using rig = await MqttRig.open({ url: server.url }, ['t'])
    expect([versions(), rig.ending]).toEqual([[5, 4], undefined])
    server.hangUp()
    await rig.lost()
    await rig.connect(['t'])
    expect(versions()).toEqual([5, 4, 5, 4])
  })

  test('a broker that hangs up on MQTT 5 is not met with another version', async () => {
    await using server = await startFakeMqtt(4, () => {
      server.hangUp()
      return []
    })
    expect((await refusal({ url: server.url })).code).toBe('HUB_SOURCE_UNREACHABLE')
    expect(server.connections).toBe(1)
  })

  test('MQTT 3.1.1 sends no properties', async () => {
    await using server = await startFakeMqtt(4, agreeable)
    await using rig = await MqttRig.open({ url: server.url, protocolVersion: 4 }, ['t'])
    expect(server.received[0]).toMatchObject({ protocolVersion: 4, clean: false })
    expect((server.received[0] as IConnectPacket).properties).toBeUndefined()
    expect(rig.ending).toBeUndefined()
  })
})

describe('a refused connection', () => {
  // MQTT 3.1.1 §3.2.2.3, MQTT 5.0 §3.2.2.2.
  test.for([
    [4, 1, 'HUB_SOURCE_PROTOCOL', false, 'protocolVersion: 5'],
    [4, 2, 'HUB_SOURCE_AUTH', false, 'clientId'],
    [4, 3, 'HUB_SOURCE_UNREACHABLE', true, ''],
    [4, 4, 'HUB_SOURCE_AUTH', false, ''],
    [4, 5, 'HUB_SOURCE_AUTH', false, ''],
    [5, 0x84, 'HUB_SOURCE_PROTOCOL', false, 'protocolVersion: 4'],
    [5, 0x85, 'HUB_SOURCE_AUTH', false, 'clientId'],
    [5, 0x86, 'HUB_SOURCE_AUTH', false, ''],
    [5, 0x87, 'HUB_SOURCE_AUTH', false, ''],
    [5, 0x88, 'HUB_SOURCE_UNREACHABLE', true, ''],
    [5, 0x89, 'HUB_SOURCE_UNREACHABLE', true, ''],
    [5, 0x8a, 'HUB_SOURCE_AUTH', false, ''],
    [5, 0x97, 'HUB_SOURCE_UNREACHABLE', true, ''],
    [5, 0x9d, 'HUB_SOURCE_PROTOCOL', false, ''],
  ] as const)(
    'MQTT protocol version %i, code %i: %s, retry %s',
    async ([protocolVersion, code, expected, canRetry, hint]) => {
      await using server = await startFakeMqtt(protocolVersion, () => [
        { cmd: 'connack', sessionPresent: false, returnCode: code, reasonCode: code },
      ])
      const error = await refusal({ url: server.url, protocolVersion, username: 'u', password: 's3cret' })
      expect([error.code, error.canRetry]).toEqual([expected, canRetry])
      expect(error.hint).toContain(hint)
      expect(error.message).not.toContain('s3cret')
    },
  )

  test('a broker that knows only MQTT 3.1.1 answers an MQTT 5 client in its own way', async () => {
    await using server = await startFakeMqtt(5, () => [])
    const refused = refusal({ url: server.url, protocolVersion: 5 })
    await until(() => server.received.length > 0, 'CONNECT arrives')
    server.sendBytes(Buffer.from([0x20, 2, 0, 1]))
    const error = await refused
    expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_PROTOCOL', false])
    expect(error.hint).toContain('protocolVersion: 4')
  })

  test.for([
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['zeroes', Buffer.alloc(64)],
    ['a packet that is none of a server’s', Buffer.from([0xd0, 0])],
    ['random bytes', Buffer.from('ffeeddccbbaa99887766554433221100', 'hex')],
  ] as const)('a server that talks %s is named as no MQTT broker', async ([, bytes]) => {
    await using server = await startFakeMqtt(5, () => [])
    const refused = refusal({ url: server.url })
    await until(() => server.connections > 0, 'it connects')
    server.sendBytes(bytes)
    expect((await refused).code).toBe('HUB_SOURCE_PROTOCOL')
  })

  test('a server that hangs up, and one that is not there, are unreachable', async () => {
    const server = await startFakeMqtt(5, () => [])
    const refused = refusal({ url: server.url })
    await until(() => server.received.length > 0, 'CONNECT arrives')
    server.hangUp()
    expect(await refused).toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE', canRetry: true })
    await server[Symbol.asyncDispose]()
    expect(await refusal({ url: server.url })).toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE', canRetry: true })
  })

  test('a server that accepts and says nothing is given up after the connect timeout', async () => {
    await using server = await startFakeMqtt(5, () => [])
    const clock = new ManualClock()
    const refused = refusal({ url: server.url }, { clock })
    await until(() => server.received.length > 0, 'CONNECT arrives')
    await clock.advance(10_000)
    const error = await refused
    expect(error).toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE', canRetry: true })
    expect(error.message).toContain('no answer to CONNECT within 10000 ms')
    expect(clock.pending).toBe(0)
  })
})

describe('keep-alive', () => {
  test('is kept while functions run, and its silence ends the connection', async () => {
    let answering = true
    await using server = await startFakeMqtt(5, (packet) =>
      packet.cmd !== 'pingreq' || answering ? agreeable(packet) : [],
    )
    const clock = new ManualClock()
    await using rig = await MqttRig.open({ url: server.url, keepAlive: '10s' }, ['t'], { clock, unsettledMax: 1 })
    server.send(publish(1))
    await rig.arrived(1)
    // The window is full and the function runs for a minute.
    for (let passedMs = 5000; passedMs <= 60_000; passedMs += 5000) {
      await clock.advance(5000)
      await until(() => sent(server.received, 'pingreq').length >= passedMs / 5000, 'PINGREQ arrives')
      // The answer is on its way back: let it be read before time goes on.
      server.send(publish(passedMs, { qos: 0, topic: 'probe' }))
      await until(() => true, 'read')
    }
    expect(rig.ending).toBeUndefined()
    expect(server.connections).toBe(1)
    expect(await ack(rig.arrivals[0])).toBe('settled')
    await until(() => sent(server.received, 'puback').length === 1, 'PUBACK arrives')
    await rig.arrived(2)
    answering = false
    rig.ackAll = true
    for (const delivery of rig.arrivals.slice()) await ack(delivery)
    await clock.advance(40_000)
    expect((await rig.lost()).message).toContain('nothing was heard')
  })

  test('goes on while reading is paused, where silence proves nothing (MQTT 3.1.1, no receive maximum)', async () => {
    await using server = await startFakeMqtt(4, agreeable)
    const clock = new ManualClock()
    const config = { url: server.url, protocolVersion: 4, keepAlive: '10s' }
    await using rig = await MqttRig.open(config, ['t'], { clock, unsettledMax: 2 })
    server.send(...[1, 2, 3, 4, 5].map((id) => publish(id)))
    await rig.arrived(2)
    await clock.advance(300_000)
    await until(() => sent(server.received, 'pingreq').length >= 60, 'a PINGREQ every five seconds at least')
    expect(rig.ending).toBeUndefined()
    expect(rig.arrivals).toHaveLength(2)
    rig.ackAll = true
    for (const delivery of rig.arrivals.slice()) await ack(delivery)
    await rig.arrived(5)
    expect(rig.bodies).toEqual(['event 1', 'event 2', 'event 3', 'event 4', 'event 5'])
  })

  test('a server that dies while nothing is read is noticed long before the keep-alive', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    const clock = new ManualClock()
    const options = { clock, unsettledMax: 1 }
    await using rig = await MqttRig.open({ url: server.url, keepAlive: '1h' }, ['t'], options)
    server.send(publish(1), publish(2))
    await rig.arrived(1)
    server.die()
    // The first write is answered with a reset, which the second one finds.
    await vi.waitFor(
      async () => {
        await clock.advance(1000)
        if (rig.ending === undefined) throw new Error('not noticed')
      },
      { timeout: 10_000, interval: 10 },
    )
    expect(clock.monotonic()).toBeLessThan(1_800_000)
    expect((await rig.lost()).code).toBe('HUB_SOURCE_LOST')
  })

  test('the server’s interval wins over ours', async () => {
    await using server = await startFakeMqtt(5, (packet) =>
      packet.cmd === 'connect'
        ? [{ cmd: 'connack', sessionPresent: false, reasonCode: 0, properties: { serverKeepAlive: 4 } }]
        : agreeable(packet),
    )
    const clock = new ManualClock()
    await using rig = await MqttRig.open({ url: server.url, keepAlive: '1m' }, ['t'], { clock })
    await clock.advance(2000)
    await until(() => sent(server.received, 'pingreq').length === 1, 'PINGREQ arrives')
    expect(rig.ending).toBeUndefined()
  })
})

describe('while connected', () => {
  test('messages in the same piece as CONNACK are not lost', async () => {
    await using server = await startFakeMqtt(5, (packet) =>
      packet.cmd === 'connect' ? [...agreeable(packet, true), publish(1, { dup: true })] : agreeable(packet),
    )
    await using rig = await MqttRig.open({ url: server.url }, ['t'])
    await rig.arrived(1)
    expect(rig.arrivals[0]?.message.attempt).toBe(2)
  })

  test('QoS 2: PUBREC follows the settlement, a duplicate before PUBREL only repeats it, PUBREL gets PUBCOMP', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    await using rig = await MqttRig.open({ url: server.url, qos: 2 }, ['t'])
    server.send(publish(9, { qos: 2 }))
    const [delivery] = await rig.arrived(1)
    server.send(publish(9, { qos: 2, dup: true }), publish(10, { qos: 2 }))
    await rig.arrived(2)
    expect(sent(server.received, 'pubrec')).toHaveLength(0)
    await ack(delivery)
    await until(() => sent(server.received, 'pubrec').length === 1, 'PUBREC')
    server.send(publish(9, { qos: 2, dup: true }))
    await until(() => sent(server.received, 'pubrec').length === 2, 'PUBREC again')
    server.send({ cmd: 'pubrel', messageId: 9, reasonCode: 0 })
    await until(() => sent(server.received, 'pubcomp').length === 1, 'PUBCOMP')
    expect(rig.bodies).toEqual(['event 9', 'event 10'])
    server.send(publish(9, { qos: 2 }))
    await rig.arrived(3)
  })

  test('a subscription is answered although reading is paused', async () => {
    await using server = await startFakeMqtt(4, agreeable)
    await using rig = await MqttRig.open({ url: server.url, protocolVersion: 4 }, ['t'], { unsettledMax: 1 })
    server.send(publish(1), publish(2))
    await rig.arrived(1)
    await rig.subscribe(['t', 'more'])
    expect(sent(server.received, 'subscribe')).toHaveLength(2)
  })

  test('a server that does not answer SUBSCRIBE is lost', async () => {
    await using server = await startFakeMqtt(5, (packet) => (packet.cmd === 'subscribe' ? [] : agreeable(packet)))
    const clock = new ManualClock()
    await using rig = new MqttRig({ url: server.url }, { clock })
    const connecting = rig.connect(['t']).catch((error: unknown) => error)
    await until(() => sent(server.received, 'subscribe').length === 1, 'SUBSCRIBE arrives')
    await clock.advance(10_000)
    expect(await connecting).toMatchObject({ code: 'HUB_SOURCE_LOST', canRetry: true })
  })

  test('DISCONNECT with "session taken over" is explained, with the way out', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    await using rig = await MqttRig.open({ url: server.url, clientId: 'twin' }, ['t'])
    server.send({ cmd: 'disconnect', reasonCode: 0x8e })
    const error = await rig.lost()
    expect(error.message).toContain('another client took over the session twin')
    expect(error.hint).toContain('clientId')
    // A quick retry would take the session back from a replica that replaces this one.
    expect(error.canRetry).toBe(false)
  })

  test('DISCONNECT for another reason says which', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    await using rig = await MqttRig.open({ url: server.url }, ['t'])
    server.send({ cmd: 'disconnect', reasonCode: 0x8b, properties: { reasonString: 'going\r\ndown' } })
    const error = await rig.lost()
    expect(error).toMatchObject({ code: 'HUB_SOURCE_LOST', canRetry: true })
    expect(error.message).toContain('DISCONNECT 0x8b, "going??down"')
  })

  test('a reason that is cut off is left out', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    await using rig = await MqttRig.open({ url: server.url }, ['t'])
    server.sendBytes(Buffer.from([0xe0, 5, 0x8b, 3, 0x1f, 0, 9]))
    expect((await rig.lost()).message).toMatch(/DISCONNECT 0x8b$/)
  })

  test('nonsense in mid-stream ends the connection with a named error', async () => {
    await using server = await startFakeMqtt(5, agreeable)
    await using rig = await MqttRig.open({ url: server.url }, ['t'])
    server.sendBytes('GET / HTTP/1.1\r\n\r\n')
    expect((await rig.lost()).code).toBe('HUB_SOURCE_PROTOCOL')
  })

  // MQTT 5.0 §2.2.2, §3.3.2.3: a property that ends beyond its packet, and ones that may be there once.
  test.for([
    ['a user property without its value', [0x26, 0, 1, 0x61, 0, 9]],
    ['correlation data cut off', [0x09, 0, 9]],
    ['two response topics', [0x08, 0, 1, 0x61, 0x08, 0, 1, 0x62]],
    ['two content types', [0x03, 0, 1, 0x61, 0x03, 0, 1, 0x62]],
  ] as const)('so does a message with %s, and the next connection gets it', async ([, properties]) => {
    await using server = await startFakeMqtt(5, (packet) =>
      packet.cmd === 'connect'
        ? [{ cmd: 'connack', sessionPresent: server.connections > 1, reasonCode: 0 }]
        : agreeable(packet),
    )
    await using rig = await MqttRig.open({ url: server.url }, ['t'])
    const rest = [0, 1, 0x74, 0, 7, properties.length, ...properties]
    server.sendBytes(Buffer.from([0x32, rest.length, ...rest]))
    expect(await rig.lost()).toMatchObject({ code: 'HUB_SOURCE_PROTOCOL', message: expect.stringContaining('PUBLISH') as string }) // prettier-ignore
    await rig.connect(['t'])
    server.send(publish(7, { dup: true }))
    await rig.arrived(1)
  })
})

describe('a session that the broker has lost', () => {
  const isSaid = (rig: MqttRig): boolean => rig.log.lines.some((line) => line.includes('mqtt.session-lost'))

  test.for([
    [{}, false, true],
    [{}, true, false],
    [{ clean: true }, false, false],
    [{ qos: 0 }, false, false],
  ] as const)('with %j, kept %s: said %s', async ([config, isKept, expected]) => {
    const state = new MemoryState()
    await using server = await startFakeMqtt(5, (packet) => agreeable(packet, isKept && server.connections > 1))
    {
      await using rig = await MqttRig.open({ url: server.url, ...config }, ['t'], { state })
      // The first time there was none to lose.
      expect(isSaid(rig)).toBe(false)
      server.hangUp()
      await rig.lost()
      await rig.connect(['t'])
      expect(isSaid(rig)).toBe(expected)
    }
    await using next = await MqttRig.open({ url: server.url, ...config }, ['t'], { state })
    expect(isSaid(next)).toBe(expected)
  })
})

describe('SUBSCRIBE', () => {
  const refuse =
    (...refused: string[]) =>
    (packet: Packet): readonly Packet[] =>
      packet.cmd === 'subscribe'
        ? [{ cmd: 'suback', messageId: packet.messageId as number, granted: packet.subscriptions.map(({ topic }) => (refused.includes(topic) ? 0x87 : 1)) }]
        : agreeable(packet) // prettier-ignore

  test('a refused topic is named and reported once, the others work, and it is asked for again', async () => {
    await using server = await startFakeMqtt(5, refuse('secret/#'))
    await using rig = await MqttRig.open({ url: server.url }, ['t', 'secret/#'])
    const lines = rig.log.lines.filter((line) => line.includes('HUB_SOURCE_FORBIDDEN'))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('secret/# (not authorized, SUBACK 0x87)')
    server.send(publish(1))
    await rig.arrived(1)
    await rig.subscribe(['t', 'secret/#', 'more'])
    expect(rig.log.lines.filter((line) => line.includes('HUB_SOURCE_FORBIDDEN'))).toHaveLength(1)
    const asked = sent(server.received, 'subscribe').flatMap((packet) => (packet as ISubscribePacket).subscriptions)
    expect(asked.map(({ topic }) => topic)).toEqual(['t', 'secret/#', 'secret/#', 'more'])
  })

  test('when every topic is refused the connector fails', async () => {
    await using server = await startFakeMqtt(5, refuse('a', 'b'))
    await expect(MqttRig.open({ url: server.url }, ['a', 'b'])).rejects.toMatchObject({
      code: 'HUB_SOURCE_FORBIDDEN',
      canRetry: false,
    })
  })

  test('filters carry identifiers of their own, unless the server takes none', async () => {
    const identifiers = async (available: boolean): Promise<unknown[]> => {
      await using server = await startFakeMqtt(5, (packet) =>
        packet.cmd === 'connect'
          ? [{ cmd: 'connack', sessionPresent: false, reasonCode: 0, properties: { subscriptionIdentifiersAvailable: available } }]
          : agreeable(packet)) // prettier-ignore
      await using rig = await MqttRig.open({ url: server.url }, ['a', 'b'])
      expect(rig.ending).toBeUndefined()
      return (sent(server.received, 'subscribe') as ISubscribePacket[]).map(
        ({ properties }) => properties?.subscriptionIdentifier,
      )
    }
    expect(await identifiers(true)).toEqual([1, 2])
    expect(await identifiers(false)).toEqual([undefined])
  })

  test('a quality of service below the one that was asked for is said once', async () => {
    await using server = await startFakeMqtt(5, (packet) =>
      packet.cmd === 'subscribe'
        ? [{ cmd: 'suback', messageId: packet.messageId as number, granted: packet.subscriptions.map(({ topic }) => (topic === 'low' ? 0 : 1)) }]
        : agreeable(packet)) // prettier-ignore
    await using rig = await MqttRig.open({ url: server.url }, ['t', 'low'])
    server.hangUp()
    await rig.lost()
    await rig.connect(['t', 'low'])
    const lines = rig.log.lines.filter((line) => line.includes('mqtt.less-qos'))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('brings low with QoS 0 only, where 1 was asked for')
  })

  test('everything is asked for again after a reconnect, also when the broker kept the session', async () => {
    await using server = await startFakeMqtt(5, (packet) => agreeable(packet, true))
    await using rig = await MqttRig.open({ url: server.url }, ['a', 'b'])
    server.hangUp()
    await rig.lost()
    await rig.connect(['a', 'b'])
    const asked = sent(server.received, 'subscribe').flatMap((packet) => (packet as ISubscribePacket).subscriptions)
    expect(asked.map(({ topic, rh }) => [topic, rh])).toEqual([['a', 1], ['b', 1], ['a', 1], ['b', 1]]) // prettier-ignore
  })
})

describe('configuration', () => {
  test.for([
    [{ sharedGroup: 'g', clientId: undefined }, 'HUB_CONFIG_INVALID', 'clientId'],
    [{ trimChannelKey: true }, 'HUB_CONFIG_INVALID', 'topics'],
    [{ topics: ['a/#/b'] }, 'HUB_CONFIG_INVALID', 'a/#/b'],
    [{ tls: { certFile: '/client.pem' } }, 'HUB_CONFIG_INVALID', 'keyFile'],
    [{ url: 'mqtt://user:50%off@localhost' }, 'HUB_CONFIG_INVALID', 'url has a % in its user name or password'],
  ] as const)('%j is refused with %s', ([config, code, named]) => {
    let thrown: unknown
    try {
      void new MqttRig(config)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ code, message: expect.stringContaining(named) as string })
  })
})
