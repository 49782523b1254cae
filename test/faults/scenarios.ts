// The faults, one scenario each: what is done to hub, server, connection, gateway or function in the middle of a stream.
// What must hold afterwards is trial.ts's. Called by index.ts.

import { crc32 } from 'node:zlib'

import { deadLetterBodies } from './dead-letters.ts'
import type { ScenarioName } from './contract.ts'
import type { HubProcess } from './hub-process.ts'
import { MAIN, succeeds } from './trial.ts'
import type { Plan, Trial } from './trial.ts'

export interface Scenario {
  readonly name: ScenarioName
  readonly functions: Readonly<Record<string, Plan>>
  /** From the first hub to the last event. The verdict on `MAIN` follows. */
  run(trial: Trial): Promise<void>
}

const ONE: Scenario['functions'] = { [MAIN]: { answer: succeeds } }
const BAD = 'bad'
const BAD_INVOCATIONS = 2

/** A server that the driver has not is one that the scenario cannot do without. */
function there<T>(part: T | undefined, name: string): T {
  if (part === undefined) throw new Error(`the driver has no ${name}, and does not say why this scenario is absent`)
  return part
}

/** Ends as an operator ends it: whatever is asserted before, this must work after each fault. */
async function finish(trial: Trial, hub: HubProcess): Promise<void> {
  await trial.complete(MAIN)
  await trial.stopHub(hub)
}

const hubKilled: Scenario = {
  name: 'hub killed',
  functions: ONE,
  async run(trial) {
    let hub = await trial.startHub()
    const kill = async (): Promise<void> => {
      const allow = await trial.allowForHubLoss(hub)
      hub.signal('SIGKILL')
      await hub.ended()
      allow()
      trial.gateway.release()
      hub = await trial.startHub()
    }
    // In full flow, where settlements are on their way; and standing still, where it is known what was settled.
    await trial.stream(kill, async () => {
      await trial.standStill(hub)
      await kill()
    })
    await finish(trial, hub)
  },
}

const hubStopped: Scenario = {
  name: 'hub stopped',
  functions: ONE,
  async run(trial) {
    let hub = await trial.startHub()
    const stop = async (): Promise<void> => {
      await trial.stopHub(hub)
      trial.allowForStop()
      hub = await trial.startHub()
    }
    await trial.stream(stop, async () => {
      await trial.standStill(hub)
      await stop()
    })
    await finish(trial, hub)
  },
}

function serverLost(name: ScenarioName, lose: (trial: Trial) => Promise<void>): Scenario {
  return {
    name,
    functions: ONE,
    async run(trial) {
      const hub = await trial.startHub()
      const interrupt = async (): Promise<void> => {
        const before = hub.count('connector.active')
        await lose(trial)
        await there(trial.broker.start?.(), 'start')
        trial.gateway.release()
        if (trial.broker.calls !== true) await hub.says('connector.active', before)
      }
      await trial.stream(interrupt, async () => {
        await trial.standStill(hub)
        await interrupt()
      })
      await finish(trial, hub)
    },
  }
}

const halfOpen: Scenario = {
  name: 'half-open connection',
  functions: ONE,
  async run(trial) {
    const proxy = there(trial.broker.proxy, 'proxy')
    const hub = await trial.startHub({ proxied: true })
    await trial.stream(async () => {
      const before = hub.count('connector.active')
      const failures = hub.count('connector.failing')
      proxy.silence(true)
      const { calls = false } = trial.broker
      // It has to notice by itself: nobody closes anything. What is called cannot; the caller waits for its answers.
      if (calls) await new Promise((resolve) => void setTimeout(resolve, trial.size.outageMs))
      else await hub.says('connector.failing', failures)
      trial.allowForSilentLoss()
      proxy.cut()
      proxy.silence(false)
      if (!calls) await hub.says('connector.active', before)
    })
    await finish(trial, hub)
  },
}

const gatewayGone: Scenario = {
  name: 'gateway gone',
  functions: ONE,
  async run(trial) {
    const hub = await trial.startHub()
    await trial.stream(async () => {
      const before = hub.count('gateway.unreachable')
      await trial.standStill(hub)
      trial.allowForGatewayLoss()
      await trial.gateway.goAway()
      await hub.says('gateway.unreachable', before)
      // The length of the outage is the fault itself.
      await new Promise((resolve) => void setTimeout(resolve, trial.size.outageMs))
      trial.gateway.release()
      await trial.gateway.comeBack()
    })
    await finish(trial, hub)
  },
}

const aThirdFails: Scenario = {
  name: 'a third of the invocations fails',
  // By event and attempt, so that each run fails at the same places.
  functions: { [MAIN]: { answer: (id, attempt) => (crc32(`${id} ${attempt}`) % 3 === 0 ? 500 : 200) } },
  async run(trial) {
    const hub = await trial.startHub()
    await trial.stream()
    await finish(trial, hub)
    const { failures, received } = trial.gateway.log(MAIN)
    if (failures < received.length / 4) throw new Error(`only ${failures} of ${received.length} invocations failed`)
  },
}

const oneAlwaysFails: Scenario = {
  name: 'one of two functions always fails',
  functions: {
    ...ONE,
    [BAD]: { answer: () => 500, annotations: { 'com.openfaas.retry.attempts': String(BAD_INVOCATIONS - 1) } },
  },
  async run(trial) {
    const hub = await trial.startHub()
    await trial.stream()
    const bad = trial.gateway.log(BAD)
    await trial.gateway.until(() => bad.failures >= trial.size.events * BAD_INVOCATIONS, `every attempt of ${BAD}`)
    await finish(trial, hub)
    const letters = await deadLetterBodies(trial, BAD)
    const ids = new Set(letters.map((body) => body.split(' ')[0]))
    const missing = [...trial.gateway.log(MAIN).done].filter((id) => !ids.has(id))
    if (letters.length !== trial.size.events || missing.length > 0)
      throw new Error(
        `${letters.length} dead letters of ${trial.size.events}; missing: ${missing.slice(0, 5).join(', ')}`,
      )
  },
}

const replicas: Scenario = {
  name: 'a replica joins and leaves three times',
  functions: ONE,
  async run(trial) {
    const steady = await trial.startHub()
    const part = Math.floor(trial.size.events / 8)
    for (let round = 0; round < 3; round += 1) {
      await trial.publish(part)
      const second = await trial.startHub({ replica: 1 })
      trial.allowForRebalance()
      // The first one must not be done with all of them before the second has begun.
      trial.gateway.hold()
      await trial.publish(part)
      await trial.gateway.until(() => trial.gateway.by(second.name) > 0, `an invocation by ${second.name}`)
      trial.gateway.release()
      await trial.stopHub(second)
      trial.allowForStop()
    }
    await trial.publish(trial.size.events)
    const last = trial.broker.keepsForReplica === true ? await trial.startHub({ replica: 1 }) : undefined
    await finish(trial, steady)
    if (last !== undefined) await trial.stopHub(last)
  },
}

export const scenarios: readonly Scenario[] = [
  hubKilled,
  hubStopped,
  serverLost('server restarted twice', async (trial) => {
    trial.allowForConnectionLoss()
    await there(trial.broker.stop?.(), 'stop')
  }),
  serverLost('server killed', async (trial) => {
    await there(trial.broker.kill?.(), 'kill')
    trial.allowForServerLoss()
  }),
  halfOpen,
  gatewayGone,
  aThirdFails,
  oneAlwaysFails,
  replicas,
]
