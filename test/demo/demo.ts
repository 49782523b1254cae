// `npm run demo`: the quickstart, unattended. Publishes with a real MQTT client, waits for cron fires, and compares what was
// sent with what the books say. Exits with 1 when the sums disagree.

import { fileURLToPath } from 'node:url'

import { connectAsync } from 'mqtt'

import { startDev } from '../../src/cli/commands/dev.ts'
import { LiveView } from '../../src/cli/live-view.ts'
import { processOutput, table } from '../../src/cli/output.ts'

const STACK = fileURLToPath(new URL('../../deploy/examples/quickstart/stack.yaml', import.meta.url))
const WORDS = 100
const FIRES = 3
const DEADLINE_MS = 30_000

const silent = { ...processOutput, write: () => {} }
await using session = await startDev({
  config: undefined,
  stack: STACK,
  port: 0,
  view: new LiveView(silent),
  output: processOutput,
  env: process.env,
})
const { hub, brokers } = session
const ledger = (name: string): NonNullable<ReturnType<typeof hub.ledgers.get>> => {
  const found = hub.ledgers.get(name)
  if (found === undefined) throw new Error(`no connector ${name}`)
  return found
}
const mqtt = ledger('mqtt')
const cron = ledger('cron')
const invocations: Record<string, number> = { mqtt: 0, cron: 0 }
for (const [name, one] of [['mqtt', mqtt], ['cron', cron]] as const) one.listen(({ calls }) => (invocations[name] = calls.reduce((sum, call) => sum + call.invocations, invocations[name] ?? 0))) // prettier-ignore

await until('every connector is active', () => hub.status.every(({ state }) => state === 'active'))
const broker = brokers.get('mqtt')
if (broker === undefined) throw new Error('there is no embedded MQTT broker')
const client = await connectAsync(broker.address)
for (let word = 0; word < WORDS; word++)
  await client.publishAsync(`words/${word % 5}`, word % 2 === 0 ? `word ${word}` : `a longer word ${word}`, { qos: 1 })
await client.endAsync()
console.log(`Sent ${WORDS} messages with QoS 1; each comes back on shouted/ and is received again.`)
// Every word, and what upper made of it.
const expected = 2 * WORDS
await until(
  `${expected} messages and ${FIRES} cron fires are settled`,
  () => mqtt.counts.received >= expected && mqtt.counts.inFlight === 0 && cron.counts.acked >= FIRES,
)

const sent: Readonly<Record<string, number>> = { mqtt: expected, cron: cron.counts.received }
const rows = (
  [
    ['mqtt', mqtt],
    ['cron', cron],
  ] as const
).map(([name, { counts, imbalance }]) => {
  const agrees =
    imbalance === 0 && counts.received === sent[name] && counts.acked + counts.deadLettered === counts.received
  return {
    name,
    agrees,
    cells: [
      name,
      String(sent[name]),
      String(counts.received),
      String(invocations[name]),
      String(counts.acked),
      String(counts.deadLettered),
      agrees ? 'yes' : 'NO',
    ],
  }
})
console.log(table(['SOURCE', 'SENT', 'RECEIVED', 'INVOCATIONS', 'ACKED', 'DEAD LETTERS', 'SUMS AGREE'], rows.map(({ cells }) => cells), processOutput.color)) // prettier-ignore
if (!rows.every(({ agrees }) => agrees)) process.exitCode = 1

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS
  while (!condition()) {
    if (Date.now() > deadline)
      throw new Error(
        `not within ${DEADLINE_MS / 1000} s: ${what}; mqtt ${JSON.stringify(mqtt.counts)}, cron ${JSON.stringify(cron.counts)}`,
      )
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
