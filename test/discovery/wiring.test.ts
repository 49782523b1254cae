import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { buildWiring, diffWirings, viewWiring } from '../../src/discovery/index.ts'
import type { InstanceWiring, Wiring, WiringView } from '../../src/discovery/index.ts'
import { topicMatches } from '../../src/sdk/index.ts'
import type { EventMessage, Trigger } from '../../src/sdk/index.ts'
import { cron, defaults, kafka, message, mqtt, options, snapshot } from './fixtures.ts'

function instance(wiring: Wiring, name: string): InstanceWiring {
  const found = wiring.instance(name)
  if (found === undefined) throw new Error(`no instance ${name}`)
  return found
}

const matched = (wiring: Wiring, name: string, topic: string): string[] =>
  instance(wiring, name)
    .match(message(topic))
    .map((trigger) => `${trigger.function} ${trigger.pattern}`)

describe('an event', () => {
  test('calls every function of its topic once, in listing order', () => {
    const wiring = buildWiring(
      snapshot({ z: { topic: 's/+/t, s/#, s/1/t' }, a: { topic: 's/1/t' }, m: { topic: 's/#,other' } }),
      options(mqtt),
    )
    expect(matched(wiring, 'mqtt', 's/1/t')).toEqual(['z s/1/t', 'a s/1/t', 'm s/#'])
    expect(matched(wiring, 'mqtt', 'other')).toEqual(['m other'])
    expect(matched(wiring, 'mqtt', 'none')).toEqual([])
  })

  test('matches exactly where the broker has no wildcards', () => {
    const wiring = buildWiring(snapshot({ a: { topic: 's/#' } }), options(kafka))
    expect(matched(wiring, 'orders', 's/1')).toEqual([])
    expect(matched(wiring, 'orders', 's/#')).toEqual(['a s/#'])
  })

  test('with a target calls that function alone', () => {
    const wiring = buildWiring(snapshot({ 'a.ns': { topic: 't,u' }, 'b.ns': { topic: 't' } }), options(mqtt))
    const target = (name: string, topic: string): string[] =>
      instance(wiring, 'mqtt').match(message(topic, { target: name })).map((trigger) => `${trigger.function} ${trigger.pattern}`) // prettier-ignore
    expect(target('b.ns', 't')).toEqual(['b.ns t'])
    expect(target('a.ns', 'u')).toEqual(['a.ns u'])
    expect(target('a.ns', 'elsewhere')).toEqual(['a.ns t'])
    expect(target('c.ns', 't')).toEqual([])
  })

  test('is matched again from memory, and beyond its bound still right', () => {
    const router = instance(buildWiring(snapshot({ a: { topic: 't/#' } }), options(mqtt)), 'mqtt')
    const match = (event: EventMessage): readonly Trigger[] => router.match(event)
    const first = match(message('t/0'))
    expect(match(message('t/0'))).toBe(first)
    for (let index = 0; index < 10_000; index++) expect(match(message(`t/${index}`))).toHaveLength(1)
    expect(match(message('t/0'))).toEqual(first)
    expect(match(message(`t/${'x'.repeat(5000)}`))).toEqual(first)
  })

  test('finds exactly the functions whose patterns match, each once', () => {
    const level = fc.constantFrom('a', 'b', '+')
    const pattern = fc
      .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([levels, many]) => [...levels, ...(many ? ['#'] : [])].join('/'))
    const topic = fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
    fc.assert(
      fc.property(fc.array(fc.array(pattern, { maxLength: 4 }), { maxLength: 6 }), topic, (functions, concrete) => {
        const named = Object.fromEntries(
          functions.map((patterns, index) => [`f${index}`, { topic: patterns.join(',') }]),
        )
        const wiring = buildWiring(snapshot(named), options(mqtt))
        const expected = functions.flatMap((patterns, index) =>
          patterns.some((one) => topicMatches('mqtt', one, concrete)) ? [`f${index}`] : [],
        )
        expect(
          instance(wiring, 'mqtt')
            .match(message(concrete))
            .map((trigger) => trigger.function),
        ).toEqual(expected)
      }),
    )
  })
})

describe('instances', () => {
  test('each get what their syntax accepts; a topic is at fault only when none does', () => {
    const wiring = buildWiring(snapshot({ a: { topic: 'a/#/b, plain' } }), options(mqtt, kafka))
    expect(instance(wiring, 'mqtt').subscriptions).toEqual([{ kind: 'topic', topic: 'plain' }])
    expect(instance(wiring, 'orders').subscriptions).toEqual([
      { kind: 'topic', topic: 'a/#/b' },
      { kind: 'topic', topic: 'plain' },
    ])
    expect(wiring.findings).toEqual([])
    const alone = buildWiring(snapshot({ a: { topic: 'a/#/b, plain' } }), options(mqtt))
    expect(alone.findings).toMatchObject([
      { level: 'error', code: 'HUB_TOPIC_INVALID', function: 'a', annotation: 'topic' },
    ])
    expect(alone.findings[0]?.message).toContain('a/#/b')
    expect(alone.triggers).toBe(1)
  })

  test('that are named get their topics alone', () => {
    const wiring = buildWiring(snapshot({ a: { topic: 'both', 'topic.orders': 'both, mine' } }), options(mqtt, kafka))
    expect(instance(wiring, 'mqtt').triggers.map(({ pattern }) => pattern)).toEqual(['both'])
    expect(instance(wiring, 'orders').triggers.map(({ pattern }) => pattern)).toEqual(['both', 'mine'])
  })

  test('that are not configured, or not for topics, are warned about', () => {
    const wiring = buildWiring(snapshot({ a: { 'topic.order': 'x', 'topic.timers': 'y' } }), options(kafka, cron))
    expect(wiring.findings).toMatchObject([
      { level: 'warning', annotation: 'topic.order' },
      { level: 'warning', annotation: 'topic.timers' },
    ])
    expect(wiring.findings[0]?.message).toContain('did you mean topic.orders?')
    expect(wiring.triggers).toBe(0)
  })

  test('subscribe to each topic once', () => {
    const wiring = buildWiring(snapshot({ a: { topic: 't,u' }, b: { topic: 'u,t' } }), options(mqtt))
    expect(instance(wiring, 'mqtt').subscriptions.map((one) => one.kind === 'topic' && one.topic)).toEqual(['t', 'u'])
    expect(wiring.triggers).toBe(4)
  })

  test('for schedules get one subscription an expression, and one trigger an event', () => {
    const annotations = { topic: 'cron-function, t', schedule: '@hourly; @daily', 'connector.overlap': 'allow' }
    const wiring = buildWiring(snapshot({ 'a.ns': annotations }), options(cron, mqtt))
    const settings = { kind: 'schedule', function: 'a.ns', overlap: 'allow', catchUp: 'none', jitterMs: 0 }
    const timers = instance(wiring, 'timers')
    expect(timers.subscriptions).toEqual([
      { ...settings, expression: '@hourly' },
      { ...settings, expression: '@daily' },
    ])
    expect(timers.triggers.map(({ pattern }) => pattern)).toEqual(['@hourly', '@daily'])
    expect(timers.match(message('cron-function', { target: 'a.ns' }))).toMatchObject([
      { function: 'a.ns', pattern: '@hourly; @daily' },
    ])
    expect(instance(wiring, 'mqtt').subscriptions).toEqual([{ kind: 'topic', topic: 't' }])
  })

  test('may have defaults of their own', () => {
    const slow = { ...kafka, defaults: { ...defaults, timeoutMs: 5, mode: 'async' as const } }
    const wiring = buildWiring(snapshot({ a: { topic: 't', 'connector.mode': 'sync' } }), options(mqtt, slow))
    expect(instance(wiring, 'orders').triggers[0]?.settings).toMatchObject({ timeoutMs: 5, mode: 'sync' })
    expect(instance(wiring, 'mqtt').triggers[0]?.settings).toEqual(defaults)
  })
})

describe('a fault', () => {
  test('in the filter leaves out the topics and keeps the schedule', () => {
    const wiring = buildWiring(
      snapshot({
        a: { topic: 't', 'topic.orders': 'u', 'com.openfaas.schedule': '@hourly', 'connector.filter': '((' },
      }),
      options(mqtt, kafka, cron),
    )
    expect(wiring.instances.map(({ triggers }) => triggers.length)).toEqual([0, 0, 1])
    expect(wiring.findings).toMatchObject([{ level: 'error', annotation: 'connector.filter' }])
  })

  test('in one function leaves the others as they are', () => {
    const good = { topic: 't' }
    const wiring = buildWiring(
      snapshot({ a: good, b: { topic: 't', 'connector.filter': '((' }, c: good }),
      options(mqtt),
    )
    expect(matched(wiring, 'mqtt', 't')).toEqual(['a t', 'c t'])
  })

  test('of having nothing to trigger is told for each function', () => {
    const functions = {
      none: {},
      broken: { topic: 't', 'connector.filter': '((' },
      bad: { 'com.openfaas.schedule': 'soon' },
      timed: { 'com.openfaas.schedule': '@hourly' },
      other: { 'topic.elsewhere': 't' },
      fine: { topic: 't' },
    }
    expect(buildWiring(snapshot(functions), options(mqtt)).idle).toEqual([
      { function: 'none', reason: 'it has no topic or schedule annotation' },
      { function: 'broken', reason: 'its filter is invalid' },
      { function: 'bad', reason: 'none of its triggers is valid' },
      { function: 'timed', reason: 'no schedule connector is configured' },
      { function: 'other', reason: 'no configured connector takes its topics' },
    ])
  })

  test('of a callback without async is warned about', () => {
    const callback = { topic: 't', 'connector.callback': 'http://x/y' }
    expect(buildWiring(snapshot({ a: callback }), options(mqtt)).findings).toMatchObject([
      { annotation: 'connector.callback' },
    ])
    expect(buildWiring(snapshot({ a: { ...callback, 'connector.mode': 'async' } }), options(mqtt)).findings).toEqual([])
  })
})

describe('a rebuild', () => {
  const before = snapshot({ a: { topic: 't', 'connector.filter': 'size > 0' }, b: { topic: 't' } })

  test('reuses the settings of unchanged functions, and reads changed ones', () => {
    const first = buildWiring(before, options(mqtt))
    const second = buildWiring(
      snapshot({ a: { 'connector.filter': 'size > 0', topic: 't' }, b: { topic: 'u' }, c: { topic: 't' } }),
      { ...options(mqtt), defaults: first.instances[0]?.triggers[1]?.settings ?? defaults },
      first,
    )
    expect(second.memory.read.get('a')?.annotations).toBe(first.memory.read.get('a')?.annotations)
    expect(matched(second, 'mqtt', 't')).toEqual(['a t', 'c t'])
    expect(matched(first, 'mqtt', 't')).toEqual(['a t', 'b t'])
    expect([...second.memory.read.keys()]).toEqual(['a', 'b', 'c'])
  })

  test('keeps the very settings objects, so that limits carry on', () => {
    const shared = options(mqtt)
    const first = buildWiring(before, shared)
    const second = buildWiring(snapshot(Object.fromEntries(before.functions.map((info) => [info.name, { ...info.annotations }]))), shared, first) // prettier-ignore
    const of = (wiring: Wiring): unknown => instance(wiring, 'mqtt').triggers[0]?.settings
    expect(of(second)).toBe(of(first))
    expect(of(first)).toMatchObject({ filter: { expression: 'size > 0' } })
  })

  test('with another delimiter reads everything anew', () => {
    const listing = snapshot({ a: { topic: 'x,y' } })
    const first = buildWiring(listing, options(mqtt))
    const second = buildWiring(listing, { ...options(mqtt), delimiter: ';' }, first)
    expect(instance(second, 'mqtt').triggers.map(({ pattern }) => pattern)).toEqual(['x,y'])
  })

  test('of 10,000 functions with 5 topics each finds every one', () => {
    const functions = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [
        `f${index}`,
        { topic: [`own/${index}`, `group/${index % 100}`, `w/${index}/+`, `x/${index}/#`, 'all'].join(',') },
      ]),
    )
    const wiring = buildWiring(snapshot(functions), options(mqtt))
    expect(wiring).toMatchObject({ functions: 10_000, triggers: 50_000, findings: [], idle: [] })
    expect(matched(wiring, 'mqtt', 'own/77')).toEqual(['f77 own/77'])
    expect(matched(wiring, 'mqtt', 'w/9999/x')).toEqual(['f9999 w/9999/+'])
    expect(matched(wiring, 'mqtt', 'group/5')).toHaveLength(100)
    expect(matched(wiring, 'mqtt', 'all')).toHaveLength(10_000)
  })
})

describe('the difference between two wirings', () => {
  test('names what was added, removed and changed, by instance', () => {
    const view = (functions: Record<string, Record<string, string>>): WiringView => viewWiring(buildWiring(snapshot(functions), options(mqtt, cron))) // prettier-ignore
    const before = view({ a: { topic: 't,u' }, b: { topic: 't' }, c: { 'com.openfaas.schedule': '@hourly' } })
    const after = view({
      a: { topic: 't,v' },
      b: { topic: 't', 'connector.timeout': '5s' },
      c: { 'com.openfaas.schedule': '@hourly', 'connector.jitter': '10s' },
    })
    const differences = diffWirings(JSON.parse(JSON.stringify(before)) as WiringView, after)
    expect(differences).toMatchObject([
      {
        name: 'mqtt',
        added: [{ function: 'a', pattern: 'v' }],
        removed: [{ function: 'a', pattern: 'u' }],
        changed: [{ before: { function: 'b', settings: { timeout: '1m' } }, after: { settings: { timeout: '5s' } } }],
      },
      { name: 'timers', added: [], removed: [], changed: [{ after: { settings: { jitter: '10s' } } }] },
    ])
    expect(diffWirings(after, after)).toEqual([])
  })

  test('counts an instance that came or went', () => {
    const listing = snapshot({ a: { topic: 't' } })
    const one = viewWiring(buildWiring(listing, options(mqtt)))
    const two = viewWiring(buildWiring(listing, options(mqtt, kafka)))
    expect(diffWirings(one, two)).toMatchObject([{ name: 'orders', added: [{ pattern: 't' }], removed: [] }])
    expect(diffWirings(two, one)).toMatchObject([{ name: 'orders', added: [], removed: [{ pattern: 't' }] }])
  })

  test('shows no credentials of a callback', () => {
    const annotations = { topic: 't', 'connector.mode': 'async', 'connector.callback': 'http://user:hunter2@x/y' }
    const view = viewWiring(buildWiring(snapshot({ a: annotations }), options(mqtt)))
    expect(JSON.stringify(view)).not.toContain('hunter2')
    expect(view.instances[0]?.triggers[0]?.settings).toMatchObject({ callback: 'http://x/y' })
  })
})
