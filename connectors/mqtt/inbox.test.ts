import type { IPublishPacket, QoS } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'

import { HubError } from '../../src/sdk/index.ts'
import type { Delivery } from '../../src/sdk/index.ts'
import { contentDigest, toEvent } from './event.ts'
import { Inbox } from './inbox.ts'
import type { InboxOptions } from './inbox.ts'

class FakeLine {
  readonly acknowledged: number[] = []
  paused = false
  acknowledge(messageId: number): void {
    this.acknowledged.push(messageId)
  }
  pause(paused: boolean): void {
    this.paused = paused
  }
}

function publish(messageId: number, payload: string, more: Partial<IPublishPacket> = {}): IPublishPacket {
  return {
    cmd: 'publish',
    topic: 't',
    payload: Buffer.from(payload),
    qos: 1,
    dup: false,
    retain: false,
    messageId,
    ...more,
  }
}

const scope = { instance: 'mqtt', session: 'c', trimChannelKey: false, nowMs: 0, sequence: 0 }
const lostError = new HubError('HUB_SOURCE_LOST', 'gone', { canRetry: true })

function rig(options: Partial<InboxOptions> = {}): {
  inbox: Inbox
  line: FakeLine
  next: () => Promise<Delivery>
  connect: (present: boolean) => FakeLine
  dropped: () => number
} {
  let dropped = 0
  const inbox = new Inbox({
    unsettledMax: 10,
    inOrder: false,
    digestOf: contentDigest,
    isCopy: () => false,
    toEvent: (packet, digest) => toEvent(packet, digest, scope),
    dropped: () => (dropped += 1),
    ...options,
  })
  const state: { reader?: AsyncIterator<Delivery> } = {}
  const connect = (present: boolean): FakeLine => {
    const line = new FakeLine()
    inbox.begin(line, present)
    state.reader = inbox.deliveries[Symbol.asyncIterator]()
    return line
  }
  const next = async (): Promise<Delivery> => (await (state.reader as AsyncIterator<Delivery>).next()).value as Delivery
  return { inbox, line: connect(false), next, connect, dropped: () => dropped }
}

const ack = (delivery: Delivery): Promise<string> => delivery.settle({ kind: 'ack' })

describe('acknowledging', () => {
  test('each message as it settles, by default', async () => {
    const { inbox, line, next } = rig()
    for (const id of [7, 8, 9]) inbox.take(publish(id, `event ${id}`))
    const [a, b, c] = [await next(), await next(), await next()]
    expect(line.acknowledged).toEqual([])
    expect([await ack(c), await ack(a), await ack(b)]).toEqual(['settled', 'settled', 'settled'])
    expect(line.acknowledged).toEqual([9, 7, 8])
  })

  test('in the order of arrival when asked for (MQTT 5.0 §4.6); a settlement is confirmed with its acknowledgement', async () => {
    const { inbox, line, next } = rig({ inOrder: true })
    for (const id of [7, 8, 9]) inbox.take(publish(id, `event ${id}`))
    const [a, b, c] = [await next(), await next(), await next()]
    const settled = [ack(c), ack(b)]
    expect(line.acknowledged).toEqual([])
    expect(await ack(a)).toBe('settled')
    expect(await Promise.all(settled)).toEqual(['settled', 'settled'])
    expect(line.acknowledged).toEqual([7, 8, 9])
  })

  test('in order also over a reconnect, and stale when the session is gone', async () => {
    const { inbox, next, connect } = rig({ inOrder: true })
    for (const id of [7, 8]) inbox.take(publish(id, `event ${id}`))
    const [a, b] = [await next(), await next()]
    const waiting = ack(b)
    inbox.lost(lostError)
    const again = connect(true)
    for (const id of [7, 8]) inbox.take(publish(id, `event ${id}`, { dup: true }))
    expect(again.acknowledged).toEqual([])
    expect(await ack(a)).toBe('settled')
    expect(await waiting).toBe('settled')
    expect(again.acknowledged).toEqual([7, 8])
    inbox.take(publish(9, 'first'))
    inbox.take(publish(10, 'second'))
    await next()
    const stale = ack(await next())
    inbox.lost(lostError)
    connect(false)
    expect(await stale).toBe('stale')
  })

  test('a copy is acknowledged and not handed out', async () => {
    const { inbox, line, next } = rig({ isCopy: ({ messageId }) => messageId === 2 })
    for (const id of [1, 2, 3]) inbox.take(publish(id, 'same'))
    expect([(await next()).message.headers['X-Mqtt-Packet-Id'], (await next()).message.headers['X-Mqtt-Packet-Id']]).toEqual(['1', '3']) // prettier-ignore
    expect(line.acknowledged).toEqual([2])
  })
})

describe('redelivery', () => {
  test.for([1, 2] as const)('QoS %i: one that is in flight is adopted', async (qos) => {
    const { inbox, next, connect } = rig()
    inbox.take(publish(1, 'in flight', { qos }))
    const inFlight = await next()
    inbox.lost(lostError)
    const again = connect(true)
    inbox.take(publish(1, 'in flight', { qos, dup: true }))
    inbox.take(publish(2, 'fresh', { qos }))
    expect(Buffer.from((await next()).message.body).toString()).toBe('fresh')
    expect(await ack(inFlight)).toBe('settled')
    expect(again.acknowledged).toEqual([1])
  })

  test.for([1, 2] as const)(
    'QoS %i: one settled without a connection is acknowledged and not handed out',
    async (qos) => {
      const { inbox, next, connect } = rig()
      inbox.take(publish(1, 'settled while away', { qos }))
      const delivery = await next()
      inbox.lost(lostError)
      expect(await ack(delivery)).toBe('settled')
      const again = connect(true)
      inbox.take(publish(1, 'settled while away', { qos, dup: true }))
      expect(again.acknowledged).toEqual([1])
      expect(inbox.deliveries.length).toBe(0)
    },
  )

  test('QoS 2: one that is acknowledged and not released is acknowledged again and not handed out', async () => {
    const { inbox, line, next, connect } = rig()
    inbox.take(publish(1, 'settled', { qos: 2 }))
    await ack(await next())
    expect(line.acknowledged).toEqual([1])
    inbox.lost(lostError)
    const again = connect(true)
    inbox.take(publish(1, 'settled', { qos: 2, dup: true }))
    expect(again.acknowledged).toEqual([1])
    expect(inbox.deliveries.length).toBe(0)
  })

  test('QoS 1: one whose acknowledgement went out is handed out: it may be another with equal content', async () => {
    // The broker heard PUBACK, took the identifier for an equal message, and that one was lost with the connection.
    const { inbox, line, next, connect } = rig()
    inbox.take(publish(1, 'on'))
    await ack(await next())
    expect(line.acknowledged).toEqual([1])
    inbox.lost(lostError)
    const again = connect(true)
    inbox.take(publish(1, 'on', { dup: true }))
    expect(inbox.deliveries.length).toBe(1)
    await ack(await next())
    expect(again.acknowledged).toEqual([1])
  })

  test('QoS 1: one settled while away and acknowledged then is handed out after one more reconnect', async () => {
    const { inbox, next, connect } = rig()
    inbox.take(publish(1, 'on'))
    const delivery = await next()
    inbox.lost(lostError)
    await ack(delivery)
    connect(true)
    inbox.take(publish(1, 'on', { dup: true }))
    inbox.lost(lostError)
    connect(true)
    inbox.take(publish(1, 'on', { dup: true }))
    expect(inbox.deliveries.length).toBe(1)
  })

  test.for([
    ['without the DUP flag', 'same', false],
    ['of other content', 'other', true],
  ] as const)('an identifier %s is another message: the earlier delivery is stale', async ([, body, dup]) => {
    for (const qos of [1, 2] as QoS[]) {
      const { inbox, next, connect } = rig()
      inbox.take(publish(1, 'same', { qos }))
      inbox.take(publish(2, 'same', { qos }))
      const [open, done] = [await next(), await next()]
      await ack(done)
      inbox.lost(lostError)
      connect(true)
      inbox.take(publish(1, body, { qos, dup }))
      inbox.take(publish(2, body, { qos, dup }))
      expect(inbox.deliveries.length).toBe(2)
      expect(await ack(open)).toBe('stale')
    }
  })

  test('after PUBREL the identifier is free', async () => {
    const { inbox, next } = rig()
    inbox.take(publish(1, 'x', { qos: 2 }))
    await ack(await next())
    inbox.released(1)
    inbox.take(publish(1, 'x', { qos: 2, dup: true }))
    expect(inbox.deliveries.length).toBe(1)
  })

  test('what nobody had pulled comes again, with its id', async () => {
    const { inbox, next, connect } = rig()
    inbox.take(publish(1, 'pulled'))
    const pulled = await next()
    inbox.take(publish(2, 'buffered'))
    inbox.lost(lostError)
    connect(true)
    inbox.take(publish(1, 'pulled', { dup: true }))
    inbox.take(publish(2, 'buffered', { dup: true }))
    const again = await next()
    expect(again.message.attempt).toBe(2)
    expect(again.message.id).not.toBe(pulled.message.id)
    expect(again.message.id).toBe(toEvent(publish(2, 'buffered'), contentDigest(publish(2, 'buffered')), scope).id)
    expect(await ack(again)).toBe('settled')
  })
})

describe('the bound', () => {
  test('beyond it packets wait and reading stops; with room they go first, then reading goes on', async () => {
    const { inbox, line, next } = rig({ unsettledMax: 2 })
    for (const id of [1, 2, 3, 4]) inbox.take(publish(id, `event ${id}`))
    expect(inbox.deliveries.length).toBe(2)
    expect(line.paused).toBe(true)
    const [first, second] = [await next(), await next()]
    await ack(first)
    expect(inbox.deliveries.length).toBe(1)
    expect(line.paused).toBe(true)
    await ack(second)
    expect(line.paused).toBe(false)
    expect([await next(), await next()].map(({ message }) => Buffer.from(message.body).toString())).toEqual(['event 3', 'event 4']) // prettier-ignore
  })

  test('QoS 0 beyond what may wait is dropped and counted; QoS 1 never', async () => {
    const { inbox, dropped } = rig({ unsettledMax: 1 })
    inbox.take(publish(1, 'fills it'))
    for (let count = 0; count < 1024; count++) inbox.take({ ...publish(0, `${count}`), qos: 0 })
    expect(dropped()).toBe(0)
    inbox.take({ ...publish(0, 'too much'), qos: 0 })
    expect(dropped()).toBe(1)
    inbox.take(publish(2, 'kept'))
    expect(dropped()).toBe(1)
  })

  test('a second settlement gives no room twice', async () => {
    const { inbox, next } = rig({ unsettledMax: 1 })
    for (const id of [1, 2, 3]) inbox.take(publish(id, `event ${id}`))
    const first = await next()
    expect([await ack(first), await ack(first)]).toEqual(['settled', 'settled'])
    expect(inbox.deliveries.length).toBe(1)
  })

  test('after close everything is stale', async () => {
    const { inbox, next } = rig()
    inbox.take(publish(1, 'x'))
    const delivery = await next()
    inbox.close()
    expect(await ack(delivery)).toBe('stale')
  })
})

describe('an event', () => {
  test('line breaks and characters beyond ASCII in properties are encoded, never injected', () => {
    const userProperties = {
      lines: 'one\r\nX-Injected: yes',
      'na\r\nme': 'x',
      'content-length': '0',
      'x-topic': 'forged',
    }
    const properties = { userProperties, contentType: 'text/plain\r\nX-Injected: yes', responseTopic: 'grün' }
    const packet = publish(1, 'x', { properties })
    const { headers, contentType } = toEvent(packet, contentDigest(packet), scope)
    expect(contentType).toBeUndefined()
    expect(headers).toMatchObject({
      lines: Buffer.from('one\r\nX-Injected: yes').toString('base64'),
      'lines-Enc': 'b64',
      'X-Mqtt-na--me': 'x',
      'X-Mqtt-content-length': '0',
      'X-Mqtt-x-topic': 'forged',
      'X-Mqtt-Response-Topic': Buffer.from('grün').toString('base64'),
    })
    for (const [name, value] of Object.entries(headers)) expect(`${name}${value}`).toMatch(/^[\x21-\x7e]*$/)
  })

  test('the id tells apart packet, topic, content, properties and client, and nothing else', () => {
    const idOf = (packet: IPublishPacket, more = {}): string =>
      toEvent(packet, contentDigest(packet), { ...scope, ...more }).id
    const same = idOf(publish(1, 'x'))
    expect(idOf(publish(1, 'x', { dup: true }), { nowMs: 9, sequence: 9 })).toBe(same)
    const others = [
      idOf(publish(2, 'x')),
      idOf(publish(1, 'y')),
      idOf(publish(1, 'x', { topic: 'u' })),
      idOf(publish(1, 'x', { properties: { userProperties: { a: 'b' } } })),
      idOf(publish(1, 'x'), { session: 'd' }),
    ]
    expect(new Set([same, ...others]).size).toBe(6)
    expect(idOf(publish(0, 'x', { qos: 0 }))).not.toBe(idOf(publish(0, 'x', { qos: 0 }), { sequence: 1 }))
  })
})
