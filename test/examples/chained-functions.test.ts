// deploy/examples/chained-functions, command by command: the chain by events through the embedded broker, and by direct calls.

import { expect, test } from 'vitest'

import { Example, gatewayOf } from './example.ts'

test('a word passes through both links, by events and by direct calls', { timeout: 120_000 }, async () => {
  using example = new Example('chained-functions')
  await using dev = example.start('connector-hub dev', ['--port', '0'])
  const url = await gatewayOf(dev)
  const [, broker = ''] = await dev.says(/mqtt +(mqtt:\/\/127\.0\.0\.1:\d+)/)
  await dev.says(/Wired 2 triggers of 3 functions/)
  await dev.says(/mqtt subscribed to 2 topics/)

  example.env['HUB_MQTT_URL'] = broker
  expect(await example.run('connector-hub emit', {})).toMatch(/^1 event taken by /)
  await dev.says(/✓ mqtt words\/in → upper\.openfaas-fn {2}200 in /)
  await dev.says(/│ reverse: OLLEH\n/)
  await dev.says(/✓ mqtt words\/upper → reverse\.openfaas-fn {2}200 in /)

  expect(await example.run('curl', { 'http://127.0.0.1:8080': url })).toBe('OLLEH')
  // Called directly, neither link makes an event.
  dev.signal('SIGINT')
  expect((await dev.ended()).stdout).toMatch(/mqtt: received 2 = acked 2 /)
  expect(example.unused).toEqual([])
})

test('a link that fails is named to the caller of the direct chain', async () => {
  using example = new Example('chained-functions')
  await using dev = example.start('connector-hub dev', ['--port', '0', '--filter', 'chain'])
  const url = await gatewayOf(dev)
  const answer = await fetch(`${url}/function/chain`, { method: 'POST', body: 'hello' })
  expect([answer.status, await answer.text()]).toEqual([502, 'upper answered 503'])
})
