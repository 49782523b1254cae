// `explain` and `plan --against` as processes: what a person reads, what a machine reads, and the exit codes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, describe, expect, test } from 'vitest'

import { cli } from './cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-explain-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function stack(name: string, functions: Readonly<Record<string, Readonly<Record<string, string>>>>): string {
  const path = join(folder, name)
  const entries = Object.entries(functions).map(([fn, annotations]) => [
    fn,
    { lang: 'node22', handler: `./${fn}`, annotations },
  ])
  writeFileSync(path, JSON.stringify({ provider: { name: 'openfaas' }, functions: Object.fromEntries(entries) }))
  return path
}

const STACK = stack('stack.yaml', {
  all: { topic: 'orders/#' },
  large: {
    topic: 'orders/+,returns',
    'connector.filter': 'data.total > 100.0 && topic.startsWith("orders") && headers.tenant == "a"',
  },
  written: { topic: 'Orders/new' },
  dotted: { topic: 'orders.new' },
  other: { topic: 'payments' },
  idle: {},
  timer: { 'com.openfaas.schedule': '@hourly' },
  broken: { topic: 'orders/#', 'connector.filter': 'data.' },
})
const EVENT = ['explain', '--connector', 'mqtt', '--topic', 'orders/new', '--stack', STACK]

describe.concurrent('explain', () => {
  test('gives each function its verdict, with the rule that decided', async () => {
    const { code, stdout, stderr } = await cli([...EVENT, '--data', '{"total":7}', '--header', 'tenant=a'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout.split('\n')).toEqual([
      'orders/new on mqtt',
      '  all      yes  topic orders/# (sync)',
      '  large    no   topic orders/+ matches, filter data.total > 100.0 is false',
      '  written  no   topic Orders/new does not match: Orders/new is written in another case',
      '  dotted   no   topic orders.new does not match: orders.new has other separators',
      '  other    no   topic payments does not match',
      '  idle     no   it has no topic or schedule annotation',
      '  timer    no   it is triggered by other connectors only',
      '  broken   no   its filter is invalid',
      '',
      '1 function of 8 would be invoked',
      '',
    ])
  })

  test('says which filters are true, and which cannot be decided', async () => {
    const passes = await cli([...EVENT, '--data', '{"total":170}', '--header', 'tenant=a'])
    expect(passes.stdout).toContain(
      'large    yes  topic orders/+, filter data.total > 100.0 && topic.startsWith("orders") && headers.tenant == "a" is true (sync)',
    )
    const undecided = await cli([...EVENT, '--data', 'no JSON'])
    expect(undecided.stdout).toContain(
      'large    no   topic orders/+ matches, filter data.total > 100.0 cannot be decided: the body is not JSON, filter headers.tenant == "a" cannot be decided: ',
    )
  })

  test('takes the body from a file, and answers machines', async () => {
    const path = join(folder, 'event.json')
    writeFileSync(path, '{"total":170}')
    const { code, stdout } = await cli([...EVENT, '--data', `@${path}`, '--header', 'tenant=a', '--json'])
    expect(code).toBe(0)
    const { functions, ...rest } = JSON.parse(stdout) as { functions: { function: string; verdict: string }[] }
    expect(rest).toEqual({ connector: 'mqtt', topic: 'orders/new', invoked: 2 })
    expect(functions.map(({ function: name, verdict }) => [name, verdict])).toEqual([
      ['all', 'invoked'],
      ['large', 'invoked'],
      ['written', 'unmatched'],
      ['dotted', 'unmatched'],
      ['other', 'unmatched'],
      ['idle', 'idle'],
      ['timer', 'idle'],
      ['broken', 'idle'],
    ])
  })

  test('ends with 1 when nothing would be invoked, so that scripts can ask', async () => {
    const { code, stdout } = await cli(['explain', '--connector', 'mqtt', '--topic', 'nothing', '--stack', STACK])
    expect([code, stdout.includes('0 functions of 8 would be invoked')]).toEqual([1, true])
  })

  test.for([
    [['--topic', 't', '--connector', 'cron'], 'cron is triggered by schedules and has no topics'],
    [['--topic', 't', '--connector', 'nats', '--header', 'tenant'], '--header tenant: not name=value'],
    [['--topic', 't', '--connector', 'nats', '--data', '@/nowhere'], '--data @/nowhere: ENOENT'],
    [['--connector', 'nats'], 'which event is not said. Describe one with --topic'],
    [['--event', 'x', '--hub', 'nonsense'], '--hub nonsense is not a URL'],
    [['--topic', 't', '-c', 'TWO'], 'which connector the event comes from is not said'],
    [['--topic', 't', '-c', 'TWO', '--connector', 'on'], 'Did you mean one? There are: one, two.'],
  ] as const)('%j is bad usage, said with the way out', async ([args, line]) => {
    const two = join(folder, 'two.yaml')
    writeFileSync(two, 'connectors: { one: { type: mqtt }, two: { type: nats } }')
    const { code, stdout, stderr } = await cli([
      'explain',
      ...args.map((arg) => (arg === 'TWO' ? two : arg)),
      '--stack',
      STACK,
    ])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(line)
  })
})

describe.concurrent('plan --against', () => {
  const before = {
    billing: { topic: 'orders' },
    mail: { topic: 'orders' },
    tick: { 'com.openfaas.schedule': '@hourly' },
  }

  test('prints what a reviewer needs, and nothing else', async () => {
    const [old, now] = [
      stack('old.yaml', before),
      stack('now.yaml', {
        billing: { topic: 'orders,refunds', 'com.openfaas.retry.attempts': '2' },
        tick: before.tick,
      }),
    ]
    const plan = join(folder, 'plan.json')
    writeFileSync(plan, (await cli(['plan', '--stack', old, '--json'])).stdout)
    const same = await cli(['plan', '--stack', old, '--against', plan])
    expect([same.code, same.stdout]).toEqual([0, 'No difference.\n'])
    const { code, stdout } = await cli(['plan', '--stack', now, '--against', plan])
    expect(code).toBe(0)
    expect(stdout.split('\n')).toEqual([
      'mqtt',
      '+ refunds -> billing',
      '- orders -> mail',
      '~ orders -> billing: retry.attempts 5 -> 2',
      '',
      '1 trigger added, 1 removed, 1 changed',
      '',
    ])
    const machine = await cli(['plan', '--stack', now, '--against', plan, '--json'])
    const { changes } = JSON.parse(machine.stdout) as { changes: { name: string; added: { pattern: string }[] }[] }
    expect(changes.map(({ name, added }) => [name, added.map(({ pattern }) => pattern)])).toEqual([
      ['mqtt', ['refunds']],
    ])
  })

  test('still fails for what is wrong', async () => {
    const wrong = stack('wrong.yaml', { billing: { topic: 'a/#/b' } })
    const plan = join(folder, 'empty.json')
    writeFileSync(plan, '{"instances":[]}')
    const { code, stdout } = await cli(['plan', '--stack', wrong, '--against', plan])
    expect([code, stdout.includes('HUB_TOPIC_INVALID')]).toEqual([1, true])
  })

  test.for([
    ['missing.json', undefined, 'ENOENT'],
    ['garbage.json', '{', 'JSON'],
    ['other.json', '{"instances":[{"name":1}]}', 'it is no plan'],
  ] as const)('%s is no plan', async ([name, text, line]) => {
    const path = join(folder, name)
    if (text !== undefined) writeFileSync(path, text)
    const { code, stderr } = await cli(['plan', '--stack', STACK, '--against', path])
    expect(code).toBe(2)
    expect(stderr).toContain(line)
    expect(stderr).toContain('connector-hub plan --json')
  })
})
