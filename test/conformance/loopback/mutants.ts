// The loopback connector with one defect at a time, each a mistake that a real connector could make, and the scenario
// that must catch it. Judged by mutants.test.ts.

import type {
  Capabilities,
  Delivery,
  EventMessage,
  Manifest,
  Settlement,
  Source,
  SourceContext,
} from '../../../src/sdk/index.ts'
import { LoopbackSource } from './connector.ts'
import type { LoopbackConfig } from './connector.ts'
import type { Variant, fields } from './manifest.ts'

type Create = (config: LoopbackConfig, context: SourceContext) => Source
type LoopbackManifest = Manifest<typeof fields>

export interface Mutant {
  readonly name: string
  /** The scenario that must fail, and what its error must say. */
  readonly caughtBy: string
  readonly because: RegExp
  readonly variant?: Variant
  readonly create?: (create: Create, capabilities: Capabilities) => Create
  readonly manifest?: (manifest: LoopbackManifest) => LoopbackManifest
}

const never = new Promise<never>(() => undefined)

/** The source with some methods replaced. */
function changed(source: Source, methods: Partial<Source>): Source {
  return {
    connect: (signal) => source.connect(signal),
    subscribe: (wanted, signal) => source.subscribe(wanted, signal),
    deliveries: (signal) => source.deliveries(signal),
    probe: (topics, signal) => source.probe(topics, signal),
    close: () => source.close(),
    ...methods,
  }
}

function changing(methods: (source: Source, context: SourceContext) => Partial<Source>): NonNullable<Mutant['create']> {
  return (create) => (config, context) => {
    const source = create(config, context)
    return changed(source, methods(source, context))
  }
}

function eachDelivery(change: (delivery: Delivery, context: SourceContext) => Delivery): NonNullable<Mutant['create']> {
  return changing((source, context) => ({
    async *deliveries(signal) {
      for await (const delivery of source.deliveries(signal)) yield change(delivery, context)
    },
  }))
}

const eachMessage = (change: (message: EventMessage) => Partial<EventMessage>): NonNullable<Mutant['create']> =>
  eachDelivery((delivery) => ({ ...delivery, message: { ...delivery.message, ...change(delivery.message) } }))

const eachSettlement = (change: (settlement: Settlement) => Settlement): NonNullable<Mutant['create']> =>
  eachDelivery((delivery) => ({ ...delivery, settle: (settlement) => delivery.settle(change(settlement)) }))

const ack: Settlement = { kind: 'ack' }

const ackingOnClose: NonNullable<Mutant['create']> = changing((source) => {
  const handed: Delivery[] = []
  return {
    async *deliveries(signal) {
      for await (const delivery of source.deliveries(signal)) {
        handed.push(delivery)
        yield delivery
      }
    },
    async close() {
      for (const delivery of handed) await delivery.settle(ack)
      await source.close()
    },
  }
})

const losing: readonly Mutant[] = [
  {
    name: 'acks early',
    caughtBy: 'killed with unsettled deliveries: the next instance gets all of them',
    because: /held \d+ events|did not arrive/,
    create: changing((source) => ({
      async *deliveries(signal) {
        for await (const delivery of source.deliveries(signal)) {
          // Confirmed before anybody has seen the event.
          const early = delivery.settle(ack)
          await early
          yield { ...delivery, settle: () => early }
        }
      },
    })),
  },
  {
    name: 'settles on close what is unsettled',
    caughtBy: 'closed with unsettled deliveries: the next instance gets all of them',
    because: /did not arrive|cannot be settled/,
    create: ackingOnClose,
  },
  {
    name: 'commits past an unsettled event',
    caughtBy: 'events settled out of order never carry an unsettled one with them',
    because: /did not arrive/,
    variant: 'prefix',
    create: changing((source) => {
      const handed: Delivery[] = []
      return {
        async *deliveries(signal) {
          for await (const delivery of source.deliveries(signal)) {
            handed.push(delivery)
            const earlier = handed.slice()
            const settle: Delivery['settle'] = async (settlement) => {
              for (const other of earlier) await other.settle(settlement)
              return delivery.settle(settlement)
            }
            yield { ...delivery, settle }
          }
        },
      }
    }),
  },
  {
    name: 'drops after a reconnect what it had handed out before',
    caughtBy: 'the broker restarts twice in mid-stream: nothing is lost',
    because: /never settled/,
    create: changing((source) => {
      const seen = new Set<string>()
      return {
        async *deliveries(signal) {
          for await (const delivery of source.deliveries(signal)) {
            if (seen.has(delivery.message.id)) await delivery.settle(ack)
            else yield delivery
            seen.add(delivery.message.id)
          }
        },
      }
    }),
  },
  {
    name: 'ends quietly when the connection is lost',
    caughtBy: 'the broker restarts twice in mid-stream: nothing is lost',
    because: /as if closed/,
    create: changing((source) => ({
      async *deliveries(signal) {
        try {
          yield* source.deliveries(signal)
        } catch {
          return
        }
      },
    })),
  },
  {
    name: 'keeps an ack to itself',
    caughtBy: 'an acked event is not delivered again, nor after a restart of the source',
    because: /delivered again/,
    create: eachDelivery((delivery) => ({
      ...delivery,
      settle: (settlement) => (settlement.kind === 'ack' ? Promise.resolve('settled') : delivery.settle(settlement)),
    })),
  },
  {
    name: 'consumes in the probe',
    caughtBy: 'a probe reports the server on a source that was never connected, and consumes nothing',
    because: /did not arrive/,
    create: changing((source) => ({
      async probe(topics, signal) {
        await source.connect(signal)
        await source.subscribe(topics.map((topic) => ({ kind: 'topic', topic })), signal) // prettier-ignore
        for await (const delivery of source.deliveries(signal)) {
          await delivery.settle(ack)
          break
        }
        return source.probe(topics, signal)
      },
    })),
  },
]

const settling: readonly Mutant[] = [
  {
    name: 'ignores the delay of a retry',
    caughtBy: 'a retried event comes back, and not before its delay',
    because: /the delay was/,
    create: eachSettlement((settlement) => (settlement.kind === 'retry' ? { ...settlement, delayMs: 0 } : settlement)),
  },
  {
    name: 'forgets a retry',
    caughtBy: 'a retried event comes back, and not before its delay',
    because: /did not arrive 2 times/,
    create: eachSettlement((settlement) => (settlement.kind === 'retry' ? ack : settlement)),
  },
  {
    name: 'does not count attempts',
    caughtBy: 'the attempt grows with each redelivery',
    because: /deep/,
    create: eachMessage(() => ({ attempt: 1 })),
  },
  {
    name: 'redelivers what was rejected',
    caughtBy: 'a rejected event never returns',
    because: /delivered again/,
    create: eachSettlement((settlement) =>
      settlement.kind === 'reject' ? { kind: 'retry', delayMs: 0, reason: settlement.reason } : settlement,
    ),
  },
  {
    name: 'rejects without the dead letter',
    caughtBy:
      'a rejected event is one of the dead letters of the broker, with reason, topic, function, attempts and body',
    because: /deep/,
    create: eachSettlement((settlement) =>
      settlement.kind === 'reject' ? { ...settlement, letters: [] } : settlement,
    ),
  },
  {
    name: 'acts on a second settlement',
    caughtBy: 'a second settlement does nothing and returns the result of the first',
    because: /deep|second settlement/,
    create: (_create, capabilities) => (config, context) => new UnguardedSource(config, context, capabilities),
  },
]

/** Each settlement goes to the broker, the second as the first. */
class UnguardedSource extends LoopbackSource {
  protected override guard(settle: Delivery['settle']): Delivery['settle'] {
    return settle
  }
}

const handing: readonly Mutant[] = [
  {
    name: 'hands out twice the bound',
    caughtBy: 'never more than unsettledMax deliveries are unsettled',
    because: /handed out with nothing settled/,
    create: (create) => (config, context) => create(config, { ...context, unsettledMax: context.unsettledMax * 2 }),
  },
  {
    name: 'swaps neighbours',
    caughtBy: 'events of one ordering key are handed out in the order of publishing',
    because: /out of order/,
    create: changing((source) => ({
      async *deliveries(signal) {
        const waiting = new Map<string | undefined, Delivery>()
        for await (const delivery of source.deliveries(signal)) {
          const { orderingKey } = delivery.message
          const earlier = waiting.get(orderingKey)
          if (earlier === undefined) waiting.set(orderingKey, delivery)
          else {
            waiting.delete(orderingKey)
            yield delivery
            yield earlier
          }
        }
      },
    })),
  },
  {
    name: 'loses the ordering key',
    caughtBy: 'events of one ordering key are handed out in the order of publishing',
    because: /no orderingKey/,
    create: eachDelivery((delivery) => {
      const { orderingKey: _key, ...message } = delivery.message
      return { ...delivery, message }
    }),
  },
  {
    name: 'never unsubscribes',
    caughtBy: 'subscribe is a set: topics are added, removed and added again',
    because: /removed topic/,
    create: changing((source) => {
      const topics = new Set<string>()
      return {
        subscribe(wanted, signal) {
          for (const one of wanted) if (one.kind === 'topic') topics.add(one.topic)
          return source.subscribe([...topics].map((topic) => ({ kind: 'topic', topic })), signal) // prettier-ignore
        },
      }
    }),
  },
  {
    name: 'subscribes a second time to what it has',
    caughtBy: 'subscribing to the same set again changes nothing',
    because: /copies/,
    create: changing((source) => {
      let subscriptions = 0
      return {
        async subscribe(wanted, signal) {
          subscriptions += 1
          await source.subscribe(wanted, signal)
        },
        async *deliveries(signal) {
          for await (const delivery of source.deliveries(signal))
            for (let copy = 0; copy < subscriptions; copy++) yield delivery
        },
      }
    }),
  },
  {
    name: 'gives every replica everything',
    caughtBy: 'two replicas share the events of a topic, each is settled once',
    because: /copies/,
    create: (create) => {
      let instances = 0
      return (config, context) => create({ ...config, group: `${config.group}-${++instances}` }, context)
    },
  },
]

const telling: readonly Mutant[] = [
  {
    name: 're-encodes the body as text',
    caughtBy: 'a body arrives byte for byte: empty, every byte value, 1 MiB',
    because: /was changed on its way/,
    create: eachMessage(({ body }) => ({ body: Buffer.from(Buffer.from(body).toString('utf8')) })),
  },
  {
    name: 'passes header values as they are',
    caughtBy: 'headers of an event are safe for HTTP: encoded where needed, never injected',
    because: /over HTTP/,
    create: eachMessage(({ headers }) => ({
      headers: Object.fromEntries(
        Object.entries(headers)
          .filter(([name]) => !name.endsWith('-Enc'))
          .map(([name, value]) => [
            name,
            headers[`${name}-Enc`] === undefined ? value : Buffer.from(value, 'base64').toString(),
          ]),
      ),
    })),
  },
  {
    name: 'makes a new id for a redelivery',
    caughtBy: 'an id names one event: equal on its redelivery, different from every other',
    because: /changed on redelivery/,
    create: eachMessage(({ id, attempt }) => ({ id: `${id}#${attempt}` })),
  },
  {
    name: 'counts attempts from 0',
    caughtBy: 'an event states its source, its topic, its time and that this is its first attempt',
    because: /strictly equal/,
    create: eachMessage(({ attempt }) => ({ attempt: attempt - 1 })),
  },
  {
    name: 'writes the password into a log line',
    caughtBy: 'no secret and no body is in any log line or error',
    because: /holds a secret/,
    create: (create) => (config, context) => {
      context.log.debug('loopback.config', `password ${config.password?.reveal()}`)
      return create(config, context)
    },
  },
  {
    name: 'writes the body into a log line',
    caughtBy: 'no secret and no body is in any log line or error',
    because: /holds a body/,
    create: eachDelivery((delivery, { log }) => {
      log.debug('loopback.delivery', 'an event', { data: Buffer.from(delivery.message.body).toString() })
      return delivery
    }),
  },
]

const connecting: readonly Mutant[] = [
  {
    name: 'hangs on bad credentials',
    caughtBy: 'bad credentials are a named error within 10 s',
    because: /did not end within/,
    create: changing((source) => ({ connect: (signal) => source.connect(signal).catch(() => never) })),
  },
  {
    name: 'throws an error without a code',
    caughtBy: 'bad credentials are a named error within 10 s',
    because: /bad credentials: Error/,
    create: changing((source) => ({
      connect: (signal) =>
        source.connect(signal).catch(() => {
          throw new Error('refused')
        }),
    })),
  },
  {
    name: 'falls back to plain text',
    caughtBy: 'bad TLS is a named error within 10 s, with no fallback to plain text',
    because: /connected in spite of/,
    create: (create) => (config, context) => create({ ...config, encrypted: false }, context),
  },
  {
    name: 'cannot be closed twice',
    caughtBy: 'close is legal before connect and may be called again',
    because: /closed already/,
    create: changing((source) => {
      let closed = false
      return {
        close() {
          if (closed) return Promise.reject(new Error('closed already'))
          closed = true
          return source.close()
        },
      }
    }),
  },
  {
    name: 'does not hear an abort while it waits for events',
    caughtBy: 'deliveries ends when its signal is aborted and when the source is closed',
    because: /did not end within/,
    create: changing((source) => ({ deliveries: () => source.deliveries(new AbortController().signal) })),
  },
  {
    name: 'does not hear an abort while it connects',
    caughtBy: 'connect gives up when its signal is aborted',
    because: /Missing expected rejection/,
    create: changing((source) => ({ connect: () => source.connect(new AbortController().signal) })),
  },
  {
    name: 'leaks a timer',
    caughtBy: 'a closed source leaves no open handle and no armed timer',
    because: /timers of the source are still armed/,
    create: changing((source, { clock }) => ({
      async connect(signal) {
        await source.connect(signal)
        clock.after(60_000, () => undefined)
      },
    })),
  },
  {
    name: 'leaks a connection',
    caughtBy: 'a closed source leaves no open handle and no armed timer',
    because: /open handles are left behind/,
    create: (create) => (config, context) => {
      const source = create(config, context)
      const forgotten = create({ ...config, group: `${config.group}-forgotten` }, context)
      return changed(source, {
        async connect(signal) {
          await source.connect(signal)
          await forgotten.connect(signal)
        },
      })
    },
  },
  {
    name: 'has another name than its folder',
    caughtBy: 'the manifest is in manifest.ts, named as its folder, and its defaults are valid',
    because: /exports no manifest named/,
    manifest: (manifest) => ({ ...manifest, name: 'loop' }),
  },
  {
    name: 'refuses its own example',
    caughtBy: 'example.yaml is a valid configuration with a function that it triggers',
    because: /no connector of type/,
    manifest: (manifest) => ({ ...manifest, name: 'loop' }),
  },
]

/** What the hub promises needs the connector's part; these break it from the connector's side. */
const throughTheHub: readonly Mutant[] = [
  {
    name: 'rejects without the dead letter of the hub',
    caughtBy:
      'through the hub: a dead letter holds reason, topic, function, attempts and body; log and counters say so',
    because: /answered 500; gave up/,
    create: eachSettlement((settlement) =>
      settlement.kind === 'reject' ? { ...settlement, letters: [] } : settlement,
    ),
  },
  {
    name: 'hands out an event again while the hub holds it',
    caughtBy: 'through the hub: a retry that the hub holds is not invoked before its delay',
    because: /before the delay was over|did not happen/,
    variant: 'held',
    create: changing((source) => ({
      async *deliveries(signal) {
        for await (const delivery of source.deliveries(signal)) {
          yield delivery
          yield delivery
        }
      },
    })),
  },
  {
    name: 'loses the ordering key on its way to the lanes',
    caughtBy: 'through the hub: equal ordering keys never overlap and never change their order, retries included',
    because: /invoked at once/,
    create: eachDelivery((delivery) => {
      const { orderingKey: _key, ...message } = delivery.message
      return { ...delivery, message }
    }),
  },
  {
    name: 'keeps the ack of a fan-out to itself',
    caughtBy: 'through the hub: of several functions only the one that failed is invoked again',
    because: /delivered again/,
    create: eachDelivery((delivery) => ({ ...delivery, settle: () => Promise.resolve('settled') })),
  },
  {
    name: 'acks after a drain what was not settled',
    caughtBy: 'through the hub: a drain ends with its timeout, and what is unsettled is not lost',
    because: /did not arrive/,
    create: ackingOnClose,
  },
]

export const mutants: readonly Mutant[] = [
  ...losing,
  ...settling,
  ...handing,
  ...telling,
  ...connecting,
  ...throughTheHub,
]
