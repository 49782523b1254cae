// What was recorded is what a hub shows today: a metric that came, went or changed its kind needs new recordings.

import { expect, test } from 'vitest'

import { parsePrometheusText } from '../gateway/prometheus-text.ts'
import { Gateway, startHub } from '../hub/rig.ts'
import { FIRST, SECOND, familiesOf } from './scrapes.ts'

/** Of connectors that the hub of this test does not have. */
const OWN = /^connector_hub_(cron|kafka|minio|mqtt|nats|rabbitmq|sqs|webhook)_/

const kinds = (families: ReturnType<typeof familiesOf>): readonly string[] =>
  [...families.values()].filter(({ name }) => !OWN.test(name)).map(({ name, type }) => `${type} ${name}`).toSorted() // prettier-ignore

test('a running hub has the metrics of the recorded one, and no others', async () => {
  await using gateway = await new Gateway().start()
  await using hub = await startHub(gateway.url, { env: { HUB_SCALER_PORT: '0', HUB_SCALER_HOST: '127.0.0.1' } })
  const live = parsePrometheusText(await (await hub.admin('/metrics')).text())
  // Else: node test/deploy/record-scrapes.ts
  expect(kinds(familiesOf(FIRST))).toEqual(kinds(live))
  expect(kinds(familiesOf(SECOND))).toEqual(kinds(live))
})
