// The loopback broker as the conformance suite drives it: on a manual clock, so that delays cost no time.

import { ManualClock } from '../../../src/sdk/index.ts'
import type { TestBroker } from '../contract.ts'
import { LoopbackBroker } from './server.ts'

const PASSWORD = 'pass-of-the-loopback'

export async function startBroker(): Promise<TestBroker> {
  const clock = new ManualClock()
  const broker = new LoopbackBroker(clock, PASSWORD)
  await broker.start()
  const config: TestBroker['config'] = ({ run }) => ({ port: broker.port, password: PASSWORD, group: run })
  return {
    name: 'loopback',
    features: {
      bodies: 'bytes',
      emptyBody: true,
      bodyBytesMax: 2 ** 24,
      headers: ['plain', 'crlf', 'non-ascii'],
      keys: true,
      ordered: true,
      countsAttempts: true,
      stableIds: true,
      survivesRestart: true,
      retryDelayMs: 30_000,
    },
    clock,
    config,
    badCredentials: (scope) => ({ ...config(scope), password: 'not-the-password' }),
    badTls: (scope) => ({ 'plain-text port': { ...config(scope), encrypted: true } }),
    topic: (name) => Promise.resolve(name),
    publish: (topic, events) => Promise.resolve(broker.publish(topic, events)),
    deadLetters: (topic) =>
      Promise.resolve(
        broker.letters
          .filter(({ message }) => message.topic === topic)
          .map(({ message, function: name, reason, attempts }) => ({
            body: message.body,
            topic: message.topic,
            function: name,
            reason,
            attempts,
          })),
      ),
    stop: () => broker.stop(),
    start: () => broker.start(),
    [Symbol.asyncDispose]: () => broker.stop(),
  }
}
