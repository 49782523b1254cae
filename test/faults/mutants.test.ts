// The fault suite is itself tested: the loopback connector passes it, and with a seeded defect it does not, for its reason.

import { expect, test } from 'vitest'

import { systemClock } from '../../src/sdk/index.ts'
import { manifest } from '../conformance/loopback/manifest.ts'
import { LoopbackBroker } from '../conformance/loopback/server.ts'
import { variantModule } from '../conformance/loopback/variant.ts'
import { startTcpProxy } from '../servers/tcp-proxy.ts'
import type { FaultBroker, ScenarioName } from './contract.ts'
import { runScenario } from './run.ts'
import { scenarios } from './scenarios.ts'

const PASSWORD = 'pass-of-the-loopback'
/** Events of this broker arrive within milliseconds; a hub that was killed or has lost its broker is back within seconds. */
const STALL_MS = 5000

async function startLoopback(mutant?: string): Promise<FaultBroker> {
  const broker = new LoopbackBroker(systemClock, PASSWORD)
  await broker.start()
  const proxy = await startTcpProxy(broker.port)
  return {
    name: 'loopback',
    type: variantModule('delayed', mutant),
    proxy,
    prepare: (run) => Promise.resolve(run),
    environment: ({ run, proxied }) => ({
      HUB_LOOPBACK_PORT: String(proxied ? proxy.port : broker.port),
      HUB_LOOPBACK_PASSWORD: PASSWORD,
      HUB_LOOPBACK_GROUP: run,
    }),
    publish: (run, events) => Promise.resolve(broker.publish(run, events)),
    deadLetters: (_, functionName) =>
      Promise.resolve(
        broker.letters
          .filter((letter) => letter.function.split('.')[0] === functionName)
          .map(({ message }) => message.body),
      ),
    stop: () => broker.stop(),
    kill: () => broker.stop(),
    start: () => broker.start(),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await broker.stop()
    },
  }
}

async function outcomeOf(name: ScenarioName, mutant?: string): Promise<string> {
  const scenario = scenarios.find((one) => one.name === name)
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`)
  await using broker = await startLoopback(mutant)
  const { problem } = await runScenario(scenario, manifest, broker, STALL_MS)
  return problem ?? 'passed'
}

test.for([
  'hub killed',
  'hub stopped',
  'a third of the invocations fails',
  'one of two functions always fails',
] as const)('the loopback connector as it is passes: %s', { timeout: 60_000 }, async (name) => {
  expect(await outcomeOf(name)).toBe('passed')
})

test.for([
  ['acks early', 'hub killed', /nothing was invoked for .*\n.*\n.* and not done e\d+/],
  ['settles on close what is unsettled', 'hub stopped', /nothing was invoked for .*\n.*\n.* and not done e\d+/],
  ['hands out an event again while the hub holds it', 'hub stopped', /duplicates .*no more than 0 may be/],
  ['loses the ordering key', 'a third of the invocations fails', /out of order: k\d+: \d+ was done after \d+/],
  ['rejects without the dead letter', 'one of two functions always fails', /^one of .*: 0 dead letters of \d+/],
] as const)('one that %s fails: %s', { timeout: 60_000 }, async ([mutant, name, because]) => {
  expect(await outcomeOf(name, mutant)).toMatch(because)
})
