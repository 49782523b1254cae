import { expect, test, vi } from 'vitest'

import { GatewayGate } from '../../src/invoke/gateway-gate.ts'
import { HubError, ManualClock } from '../../src/sdk/index.ts'
import { Gateway, freePort } from './gateway.ts'

const REFUSED = new HubError('HUB_GATEWAY_UNREACHABLE', 'refused', { canRetry: true })

test('closes once, keeps probing while nobody answers, and opens with the first answer of any status', async () => {
  const port = await freePort()
  const clock = new ManualClock()
  const closed: HubError[] = []
  const outages: number[] = []
  const gate = new GatewayGate({
    gatewayUrl: `http://127.0.0.1:${port}/faas/`,
    clock,
    onClosed: (error) => void closed.push(error),
    onOpened: (outageMs) => void outages.push(outageMs),
  })
  let called = 0
  let unwanted = 0
  gate.whenOpen(() => (called += 1))
  gate.whenOpen(() => (unwanted += 1))()
  gate.report(REFUSED)
  gate.report(REFUSED)
  expect(closed).toEqual([REFUSED])
  expect([gate.open, clock.pending]).toEqual([false, 1])
  for (let probes = 0; probes < 3; probes++) {
    await clock.advance(5000)
    await vi.waitFor(() => expect(clock.pending).toBe(1), 10_000)
  }
  expect([gate.open, called]).toEqual([false, 0])
  await using gateway = await Gateway.start(port)
  gateway.answer = (_, response) => void response.writeHead(404).end()
  await vi.waitFor(async () => {
    await clock.advance(5000)
    expect(gate.open).toBe(true)
  }, 10_000)
  expect(gateway.received[0]?.url).toBe('/faas/healthz')
  expect([called, unwanted, outages.length]).toEqual([1, 0, 1])
  expect(outages[0]).toBeGreaterThanOrEqual(15_000)
  gate.close()
  expect(clock.pending).toBe(0)
})

test('closed for good it neither probes nor calls back nor closes again', () => {
  const clock = new ManualClock()
  const gate = new GatewayGate({ gatewayUrl: 'http://127.0.0.1:1', clock, onClosed: () => {}, onOpened: () => {} })
  gate.report(REFUSED)
  gate.close()
  gate.close()
  expect(clock.pending).toBe(0)
  gate.report(REFUSED)
  expect(clock.pending).toBe(0)
})
