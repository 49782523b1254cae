import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { readAnnotations, splitTopics, SETTING_ANNOTATIONS } from '../../src/discovery/index.ts'
import type { FunctionAnnotations } from '../../src/discovery/index.ts'
import { defaults, functionInfo } from './fixtures.ts'

function read(annotations: Readonly<Record<string, string>>, delimiter = ','): FunctionAnnotations {
  return readAnnotations(functionInfo('fn.ns', annotations), delimiter)
}

function found({ findings }: FunctionAnnotations): string[] {
  return findings.map(({ level, annotation }) => `${level} ${annotation}`)
}

describe('the topic annotation', () => {
  test.each([
    // OpenFaaS contract, conformance checks 1 and 2, and the example of the topic map build.
    ['a, b ,,c', ',', ['a', 'b', 'c']],
    ['a;b', ',', ['a;b']],
    ['topic1|topic2|topic3,withcomma', '|', ['topic1', 'topic2', 'topic3,withcomma']],
    ['a,b', '', ['a,b']],
    ['a::b:c', '::', ['a', 'b:c']],
    ['', ',', []],
    ['  ', ',', []],
  ])('%j split at %j gives %j', (annotation, delimiter, topics) => {
    expect(read({ topic: annotation }, delimiter).topics).toEqual(topics)
  })

  test('names the topics that are repeated, and keeps each once', () => {
    const annotations = read({ topic: 'a,b,a' })
    expect(annotations.topics).toEqual(['a', 'b'])
    expect(annotations.findings).toMatchObject([{ level: 'warning', annotation: 'topic', function: 'fn.ns' }])
    expect(annotations.findings[0]?.message).toContain('"a"')
  })

  // Any function of a cluster may have them, and whoever looks at each against each of them stands still for minutes.
  test('and its like hold nobody up, however many topics there are', () => {
    const topics = Array.from({ length: 400_000 }, (_, index) => `t${index}`)
    const instances = Object.fromEntries(topics.slice(0, 100_000).map((topic) => [`topic.${topic}`, topic]))
    const annotations = read({ topic: [...topics, ...topics].join(','), ...instances })
    expect([annotations.topics.length, annotations.topicsByInstance.size]).toEqual([1000, 100_000])
    expect(found(annotations)).toEqual(['warning topic', 'error topic'])
  })

  test('may name 100 topics', () => {
    const topics = Array.from({ length: 100 }, (_, index) => `t${index}`)
    expect(read({ topic: topics.join(',') })).toMatchObject({ topics, findings: [] })
  })

  test('that is empty is a finding', () => {
    expect(found(read({ topic: ' , ' }))).toEqual(['warning topic'])
  })

  test('is for one instance where its key names one', () => {
    const annotations = read({ topic: 'a', 'topic.orders': 'b, c' })
    expect(annotations.topics).toEqual(['a'])
    expect(annotations.topicsByInstance).toEqual(new Map([['orders', ['b', 'c']]]))
  })

  test('gives back what was joined, whatever the topics and the delimiter', () => {
    const topic = fc.stringMatching(/^[a-z0-9/]{1,8}$/)
    fc.assert(
      fc.property(fc.uniqueArray(topic), fc.stringMatching(/^[,;|&]{1,3}$/), (topics, delimiter) => {
        expect(splitTopics(topics.join(` ${delimiter} `), delimiter)).toEqual(topics)
      }),
    )
  })
})

describe('schedules', () => {
  test('need the cron topic, which may stand among others', () => {
    const annotations = read({ topic: 'orders, cron-function', schedule: '*/5 * * * *' })
    expect(annotations).toMatchObject({ topics: ['orders'], schedules: ['*/5 * * * *'], findings: [] })
  })

  test('without the cron topic are ignored, with a finding', () => {
    const annotations = read({ topic: 'orders', schedule: '*/5 * * * *' })
    expect(annotations.schedules).toEqual([])
    expect(found(annotations)).toEqual(['warning schedule'])
  })

  test('of com.openfaas.schedule need no topic', () => {
    expect(read({ 'com.openfaas.schedule': '@hourly; CRON_TZ=Europe/London 0 9 * * 1-5' })).toMatchObject({
      schedules: ['@hourly', 'CRON_TZ=Europe/London 0 9 * * 1-5'],
      findings: [],
    })
  })

  test('that cannot be parsed leave the valid ones in force', () => {
    const annotations = read({ 'com.openfaas.schedule': '@hourly; 61 * * * *' })
    expect(annotations.schedules).toEqual(['@hourly'])
    expect(annotations.findings).toMatchObject([{ level: 'error', code: 'HUB_SCHEDULE_INVALID' }])
    expect(annotations.findings[0]?.message).toContain('61 * * * *')
  })

  test('are missed on a function marked as cron', () => {
    expect(found(read({ topic: 'cron-function' }))).toEqual(['error topic'])
  })

  test('carry overlap, catch-up and jitter', () => {
    const set = { 'connector.overlap': 'replace', 'connector.catch-up': 'all', 'connector.jitter': '1m30s' }
    const annotations = read({ 'com.openfaas.schedule': '@hourly', ...set })
    expect(annotations).toMatchObject({ overlap: 'replace', catchUp: 'all', jitterMs: 90_000, findings: [] })
    expect(found(read({ topic: 'a', ...set }))).toEqual([
      'warning connector.overlap',
      'warning connector.catch-up',
      'warning connector.jitter',
    ])
  })
})

describe('settings', () => {
  test('annotated win over the defaults', () => {
    const annotations = read({
      topic: 'a',
      'connector.mode': 'async',
      'connector.timeout': '1m30s',
      'connector.concurrency': '3',
      'connector.ordering': 'key',
      'connector.callback': 'https://example.com/done',
      'com.openfaas.retry.attempts': '0',
      'com.openfaas.retry.codes': '429, 503',
      'com.openfaas.retry.min_wait': '2s',
      'com.openfaas.retry.max_wait': '4s',
    })
    expect(annotations.findings).toEqual([])
    expect(annotations.settings('topic', defaults)).toEqual({
      mode: 'async',
      timeoutMs: 90_000,
      concurrency: 3,
      ordering: 'key',
      callbackUrl: 'https://example.com/done',
      retry: { attempts: 0, codes: new Set([429, 503]), minWaitMs: 2000, maxWaitMs: 4000, jitter: 'full' },
    })
  })

  test.each([
    ['connector.mode', 'asynch'],
    ['connector.timeout', '30'],
    ['connector.timeout', '0'],
    ['connector.concurrency', '0'],
    ['connector.concurrency', '1.5'],
    ['connector.ordering', 'yes'],
    ['connector.callback', 'ftp://example.com'],
  ])('%s: %s is left out alone, as an error', (key, value) => {
    const annotations = read({ topic: 'a', 'connector.ordering': 'key', [key]: value })
    expect(annotations.findings).toMatchObject([{ level: 'error', code: 'HUB_ANNOTATION_INVALID', annotation: key }])
    expect(annotations.topics).toEqual(['a'])
    const ordering = key === 'connector.ordering' ? 'none' : 'key'
    expect(annotations.settings('topic', defaults)).toEqual({ ...defaults, ordering })
  })

  test.each([
    ['com.openfaas.retry.attempts', '-1'],
    ['com.openfaas.retry.attempts', 'many'],
    ['com.openfaas.retry.codes', '429,abc'],
    ['com.openfaas.retry.codes', '600'],
    ['com.openfaas.retry.codes', ''],
    ['com.openfaas.retry.min_wait', '10'],
    ['com.openfaas.retry.max_wait', 'soon'],
  ])('%s: %s falls back to the default, as a warning', (key, value) => {
    const annotations = read({ topic: 'a', [key]: value })
    expect(found(annotations)).toEqual([`warning ${key}`])
    expect(annotations.settings('topic', defaults)).toEqual(defaults)
  })

  test('a longest wait below the shortest falls back to both defaults', () => {
    const annotations = read({ 'com.openfaas.retry.min_wait': '10s', 'com.openfaas.retry.max_wait': '5s' })
    expect(found(annotations)).toEqual(['warning com.openfaas.retry.max_wait'])
    expect(annotations.settings('topic', defaults).retry).toEqual(defaults.retry)
  })

  test('one annotated wait moves the default that contradicts it', () => {
    expect(read({ 'com.openfaas.retry.min_wait': '5m' }).settings('topic', defaults).retry).toMatchObject({ minWaitMs: 300_000, maxWaitMs: 300_000 }) // prettier-ignore
    expect(read({ 'com.openfaas.retry.max_wait': '10ms' }).settings('topic', defaults).retry).toMatchObject({ minWaitMs: 10, maxWaitMs: 10 }) // prettier-ignore
  })

  test('a misspelt key names the nearest known one; keys of others are nobody’s business', () => {
    const annotations = read({
      'connector.concurency': '3',
      'com.openfaas.retry.attempt': '3',
      'com.openfaas.health.http.path': '/x',
      'prometheus.io.scrape': 'false',
    })
    expect(found(annotations)).toEqual(['warning connector.concurency', 'warning com.openfaas.retry.attempt'])
    expect(annotations.findings.map(({ message }) => message)).toEqual([
      expect.stringContaining('did you mean connector.concurrency?'),
      expect.stringContaining('did you mean com.openfaas.retry.attempts?'),
    ])
  })

  test('an invalid filter is an error that blocks topics, and is not an absent filter', () => {
    const annotations = read({ topic: 'a', 'connector.filter': 'topc == "a"' })
    expect(annotations.filterBroken).toBe(true)
    expect(annotations.findings).toMatchObject([{ level: 'error', annotation: 'connector.filter' }])
    expect(annotations.findings[0]?.message).toContain('topc')
    expect(read({ topic: 'a', 'connector.filter': '  ' }).filterBroken).toBe(true)
  })

  test('a filter is for topics, not for schedules', () => {
    const annotations = read({ topic: 'a', 'connector.filter': 'size > 0' })
    expect(annotations.settings('topic', defaults).filter?.expression).toBe('size > 0')
    expect(annotations.settings('schedule', defaults).filter).toBeUndefined()
    expect(annotations.settings('topic', defaults)).toBe(annotations.settings('topic', defaults))
    expect(found(read({ 'com.openfaas.schedule': '@hourly', 'connector.filter': 'size > 0' }))).toEqual(['warning connector.filter']) // prettier-ignore
  })

  test('never throw, whatever the values', () => {
    const keys = [
      'topic',
      'topic.x',
      'schedule',
      'com.openfaas.schedule',
      'com.openfaas.retry.codes',
      ...Object.keys(SETTING_ANNOTATIONS),
    ]
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), fc.string({ unit: 'binary' })), (annotations) => {
        const { retry, timeoutMs, concurrency } = read(annotations).settings('topic', defaults)
        expect(retry.minWaitMs).toBeLessThanOrEqual(retry.maxWaitMs)
        expect(timeoutMs).toBeGreaterThan(0)
        expect(concurrency).toBeGreaterThan(0)
      }),
    )
  })
})
