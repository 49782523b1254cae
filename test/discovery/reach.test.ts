// What connectors are set to read against what functions ask for.

import { expect, test } from 'vitest'

import { buildWiring, reachFindings } from '../../src/discovery/index.ts'
import type { FixedReads, WiringInstance } from '../../src/discovery/index.ts'
import { kafka, mqtt, options, snapshot } from './fixtures.ts'

const fixed = (...topics: readonly (string | RegExp)[]): FixedReads => ({ instance: 'mqtt', syntax: 'mqtt', topics })

function findings(
  functions: Parameters<typeof snapshot>[0],
  reads: readonly FixedReads[],
  ...instances: WiringInstance[]
): readonly string[] {
  return reachFindings(buildWiring(snapshot(functions), options(...instances)), reads).map(
    ({ level, code, function: name, annotation, message }) =>
      `${level} ${code} ${name || annotation} ${message.split(':')[0]}`,
  )
}

test('nothing is missed where the annotations decide', () => {
  expect(findings({ a: { topic: 'x' } }, [], mqtt)).toEqual([])
})

test('a topic that no connector reads, and one that no function has', () => {
  expect(findings({ a: { topic: 'a/1,b/1' } }, [fixed('a/#', 'c')], mqtt)).toEqual([
    'warning HUB_TOPIC_UNREAD a no event of b/1 arrives',
    'warning HUB_TOPIC_UNUSED connectors.mqtt no function has the topic c; its events are read and settled without an invocation',
  ])
})

test('patterns on both sides meet', () => {
  expect(findings({ a: { topic: '+/1' } }, [fixed('a/#')], mqtt)).toEqual([])
})

test('one connector that reads it is enough', () => {
  expect(findings({ a: { topic: 'b' } }, [fixed('a')], mqtt, kafka)).toEqual([
    expect.stringContaining('HUB_TOPIC_UNUSED'),
  ])
  expect(findings({ a: { 'topic.mqtt': 'b' } }, [fixed('a')], mqtt, kafka)).toEqual([
    expect.stringContaining('HUB_TOPIC_UNREAD a no event of b arrives'),
    expect.stringContaining('HUB_TOPIC_UNUSED'),
  ])
})

test('names may be a pattern', () => {
  expect(findings({ a: { topic: 'orders-1' } }, [fixed(/^orders-/)], mqtt)).toEqual([])
  expect(findings({ a: { topic: 'other' } }, [fixed(/^orders-/)], mqtt)).toHaveLength(2)
})

test('a slip of the pen is named', () => {
  const [finding] = reachFindings(buildWiring(snapshot({ a: { topic: 'sensros' } }), options(mqtt)), [fixed('sensors')])
  expect(finding?.hint).toBe('Did you mean sensors?')
})
