import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import {
  TopicIndex,
  hasWildcard,
  matchPattern,
  topicMatches,
  topicProblem,
  topicsOverlap,
} from '../../src/sdk/index.ts'
import type { TopicSyntax } from '../../src/sdk/index.ts'

type Case = readonly [pattern: string, topic: string, matches: boolean]

describe('hook', () => {
  test.each([
    ['github', 'github', true],
    ['github', 'github:push', true],
    ['github:*', 'github:push', true],
    ['github:push', 'github:push', true],
    ['github:push', 'github:pull_request', false],
    ['github:push', 'github', false],
    ['github', 'gitlab:push', false],
    ['git', 'github', false],
    ['payments:invoice.paid', 'payments:invoice.paid', true],
  ])('%s and %s: %s', (pattern, topic, matches) => {
    expect(topicProblem('hook', pattern)).toBeUndefined()
    expect(topicMatches('hook', pattern, topic)).toBe(matches)
  })

  test.each(['', 'a b', 'a:', ':push', 'a:b:c', 'a:b*', '*', 'a/b', 'ü'])('%j is none', (pattern) => {
    expect(topicProblem('hook', pattern)).toBeDefined()
  })
})

describe('s3', () => {
  test.each<Case>([
    ['photos', 'photos:s3:ObjectCreated:Put', true],
    ['photos', 'photos:s3:ObjectRemoved:Delete', true],
    ['photos', 'photos2:s3:ObjectCreated:Put', false],
    ['photos', 'photos:s3:ObjectAccessed:Get', false],
    ['photos:s3:ObjectAccessed:*', 'photos:s3:ObjectAccessed:Get', true],
    ['photos:s3:ObjectAccessed:Get', 'photos:s3:ObjectAccessed:Get', true],
    ['photos:s3:ObjectCreated:*', 'photos:s3:ObjectCreated:Put', true],
    ['photos:s3:ObjectCreated:*', 'photos:s3:ObjectRemoved:Delete', false],
    ['photos:s3:ObjectCreated:*', 'other:s3:ObjectCreated:Put', false],
    ['photos:s3:ObjectCreated:Put', 'photos:s3:ObjectCreated:Put', true],
    ['photos:s3:ObjectCreated:Put', 'photos:s3:ObjectCreated:Copy', false],
    ['my.photos-2026', 'my.photos-2026:s3:ObjectRestore:Post', true],
  ])('%s on %s: %s', (pattern, topic, matches) => {
    expect(topicProblem('s3', pattern)).toBeUndefined()
    expect(topicProblem('s3', topic)).toBeUndefined()
    expect(topicMatches('s3', pattern, topic)).toBe(matches)
  })

  test('a topic is found under its bucket, its group of events and its name', () => {
    const index = new TopicIndex<string>('s3')
    for (const pattern of ['photos', 'photos:s3:ObjectCreated:*', 'photos:s3:ObjectCreated:Put', 'other'])
      index.add(pattern, pattern)
    expect([...index.find('photos:s3:ObjectCreated:Put')].toSorted()).toEqual(['photos', 'photos:s3:ObjectCreated:*', 'photos:s3:ObjectCreated:Put']) // prettier-ignore
  })

  test.each([
    ['', 'must not be empty'],
    ['Photos', 'lower-case'],
    ['ab', '3 to 63'],
    ['photos:', 'must be an event'],
    ['photos:*', 'must be an event'],
    ['photos:ObjectCreated:Put', 'must be an event'],
    ['photos:s3:*', 'must be an event'],
    ['photos:s3:ObjectCreated:P*', 'must be an event'],
    ['*:s3:ObjectCreated:*', 'lower-case'],
  ])('%j is refused: %s', (pattern, problem) => {
    expect(topicProblem('s3', pattern)).toContain(problem)
  })

  test('a bucket and a group of events are wildcards, a name is none', () => {
    expect(hasWildcard('s3', 'photos')).toBe(true)
    expect(hasWildcard('s3', 'photos:s3:ObjectCreated:*')).toBe(true)
    expect(hasWildcard('s3', 'photos:s3:ObjectCreated:Put')).toBe(false)
  })
})

describe('mqtt: every example of MQTT 5.0 §4.7', () => {
  test.each<Case>([
    // §4.7.1.2
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/#', 'sport', true],
    ['#', 'sport/tennis', true],
    ['#', '/', true],
    // §4.7.1.3
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player2', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+', 'sport', true],
    ['+/tennis/#', 'sport/tennis/player1', true],
    ['sport/+/player1', 'sport/tennis/player1', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    // §4.7.2
    ['#', '$SYS/monitor/Clients', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/monitor/Clients', true],
    ['$SYS/#', '$SYS', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    // §4.7.3
    ['ACCOUNTS', 'Accounts', false],
    ['Accounts payable', 'Accounts payable', true],
    ['/finance', 'finance', false],
    ['finance/', 'finance', false],
    // §4.8.2: the group does not take part in matching
    ['$share/consumer1/sport/tennis/+', 'sport/tennis/player1', true],
    ['$share/consumer1//finance', '/finance', true],
    ['$share/consumer1/#', '$SYS/monitor', false],
  ])('%s on %s: %s', (pattern, topic, matches) => {
    expect(topicProblem('mqtt', pattern)).toBeUndefined()
    expect(topicMatches('mqtt', pattern, topic)).toBe(matches)
  })

  test.each([
    ['sport/tennis#', '# must stand alone'],
    ['sport/tennis/#/ranking', '# must be the last level'],
    ['sport+', '+ must stand alone'],
    ['+sport/x', '+ must stand alone'],
    ['##', '# must stand alone'],
    ['', 'must not be empty'],
    ['a\0b', 'NUL'],
    ['$share//topic', 'group'],
    ['$share/a+b/topic', 'group'],
    ['$share/#/topic', 'group'],
    ['$share/group', 'needs a filter'],
    ['$share/group/', 'needs a filter'],
    ['$share/group/a#', '# must stand alone'],
    ['é'.repeat(32_768), 'at most 65535 bytes'],
  ])('refuses %j', (pattern, sentence) => {
    expect(topicProblem('mqtt', pattern)).toContain(sentence)
  })

  test('the longest filter has 65,535 bytes', () => {
    expect(topicProblem('mqtt', 'a'.repeat(65_535))).toBeUndefined()
  })
})

describe('nats: subject-based messaging', () => {
  test.each<Case>([
    ['time.us', 'time.us', true],
    ['time.us', 'Time.us', false],
    ['time.*.east', 'time.us.east', true],
    ['time.*.east', 'time.eu.east', true],
    ['time.*.east', 'time.us.east.atlanta', false],
    ['time.*.east', 'time.New.York.east', false],
    ['time.us.>', 'time.us.east', true],
    ['time.us.>', 'time.us.east.atlanta', true],
    ['time.us.>', 'time.us', false],
    ['*.*.east.>', 'time.us.east.atlanta', true],
    ['*.*.east.>', 'time.us.east', false],
    ['>', 'time', true],
    ['*', 'time.us', false],
    ['$JS.>', '$JS.EVENT.x', true],
    ['>', '$JS.EVENT.x', true],
    // Inside a token they are plain characters.
    ['a.b*', 'a.b*', true],
    ['a.b*', 'a.bc', false],
    ['a.>b', 'a.>b', true],
  ])('%s on %s: %s', (pattern, topic, matches) => {
    expect(topicProblem('nats', pattern)).toBeUndefined()
    expect(topicMatches('nats', pattern, topic)).toBe(matches)
  })

  test.each(['', '.', 'a..b', 'a.', '.a', 'a.>.b', 'a b', 'a.\tb'])('refuses %j', (pattern) => {
    expect(topicProblem('nats', pattern)).toBeDefined()
  })
})

describe('amqp: topic exchange', () => {
  test.each<Case>([
    // AMQP 0-9-1 §3.1.3.3
    ['*.stock.#', 'usd.stock', true],
    ['*.stock.#', 'eur.stock.db', true],
    ['*.stock.#', 'stock.nasdaq', false],
    // The RabbitMQ tutorial
    ['*.orange.*', 'quick.orange.rabbit', true],
    ['*.*.rabbit', 'quick.orange.rabbit', true],
    ['lazy.#', 'lazy.orange.elephant', true],
    ['*.orange.*', 'lazy.orange.elephant', true],
    ['lazy.#', 'lazy.orange.new.rabbit', true],
    ['*.orange.*', 'orange', false],
    ['*.orange.*', 'quick.orange.new.rabbit', false],
    ['lazy.#', 'lazy', true],
    ['#', '', true],
    ['#', 'a.b.c', true],
    ['*', '', false],
    ['#.b', 'b', true],
    ['#.b', 'a.a.b', true],
    ['#.b', 'b.a', false],
    ['a.#.c', 'a.c', true],
    ['a.#.c', 'a.b.b.c', true],
    ['a.#.*', 'a', false],
    ['a.#.*', 'a.b', true],
    ['#.#', 'a', true],
    ['a.*', 'a.', true],
  ])('%s on %j: %s', (pattern, topic, matches) => {
    expect(topicProblem('amqp', pattern)).toBeUndefined()
    expect(topicMatches('amqp', pattern, topic)).toBe(matches)
  })

  test.each(['', 'a*', '#a.b', 'é'.repeat(128)])('refuses %j', (pattern) => {
    expect(topicProblem('amqp', pattern)).toBeDefined()
  })

  test('many hashes cost by the length of the topic, not by the number of ways to match', () => {
    const pattern = `${'a.#.'.repeat(30)}b`
    expect(topicMatches('amqp', pattern, Array.from({ length: 60 }, () => 'a').join('.'))).toBe(false)
  })
})

test('exact: no character is special', () => {
  for (const topic of ['a/#', 'a.*', '$share/g/x', ' ']) {
    expect(topicProblem('exact', topic)).toBeUndefined()
    expect(hasWildcard('exact', topic)).toBe(false)
    expect(topicMatches('exact', topic, topic)).toBe(true)
  }
  expect(topicMatches('exact', 'a/#', 'a/b')).toBe(false)
  expect(topicProblem('exact', '')).toBeDefined()
})

test('wildcards and groups are recognised', () => {
  expect(hasWildcard('mqtt', '$share/g/a/b')).toBe(false)
  expect(hasWildcard('mqtt', '$share/g/a/+')).toBe(true)
  expect(hasWildcard('nats', 'a.b*')).toBe(false)
  expect(matchPattern('mqtt', '$share/g/a/+')).toBe('a/+')
  expect(matchPattern('mqtt', '$shared/a')).toBe('$shared/a')
  expect(matchPattern('nats', '$share/g/a')).toBe('$share/g/a')
})

/** The rules as a recursion over levels, one pattern at a time: slow and plain. */
function matchesPlainly(syntax: TopicSyntax, pattern: readonly string[], topic: readonly string[]): boolean {
  const [head, ...rest] = pattern
  if (head === undefined) return topic.length === 0
  if (syntax === 'amqp' && head === '#')
    return matchesPlainly(syntax, rest, topic) || (topic.length > 0 && matchesPlainly(syntax, pattern, topic.slice(1)))
  if (syntax === 'mqtt' && head === '#') return true
  if (syntax === 'nats' && head === '>') return topic.length > 0
  if (topic.length === 0) return false
  return (head === topic[0] || head === (syntax === 'mqtt' ? '+' : '*')) && matchesPlainly(syntax, rest, topic.slice(1))
}

describe('the index finds exactly the patterns that match one by one', () => {
  test.each([
    ['mqtt', '/', ['+', 'a', 'b', ''], '#'],
    ['nats', '.', ['*', 'a', 'b'], '>'],
    ['amqp', '.', ['*', 'a', 'b', '#'], '#'],
  ] as const)('%s', (syntax, separator, words, many) => {
    const level = fc.constantFrom(...words)
    const pattern = fc
      .tuple(fc.array(level, { maxLength: 4 }), fc.boolean())
      .map(([levels, open]) => (open || levels.length === 0 ? [...levels, many] : levels))
      .filter((levels) => levels.join(separator) !== '')
    const topic = fc
      .array(fc.constantFrom(...words.filter((word) => !/[+*#]/.test(word))), { minLength: 1, maxLength: 5 })
      .filter((levels) => levels.join(separator) !== '')
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 12 }), topic, (patterns, levels) => {
        const index = new TopicIndex<number>(syntax)
        for (const [number, one] of patterns.entries()) index.add(one.join(separator), number)
        const expected = patterns.flatMap((one, number) => (matchesPlainly(syntax, one, levels) ? [number] : []))
        expect([...index.find(levels.join(separator))].sort((a, b) => a - b)).toEqual(expected)
      }),
      { numRuns: 500 },
    )
  })
})

describe('two patterns overlap', () => {
  const syntaxes = { mqtt: ['/', '+', '#'], nats: ['.', '*', '>'], amqp: ['.', '*', '#'] } as const

  test.each(Object.entries(syntaxes))('in %s exactly when a topic matches both', (name, [separator, one, many]) => {
    const syntax = name as keyof typeof syntaxes
    const words = ['a', 'b', 'c']
    // All topics of up to five levels: longer ones match two patterns of three only when one of these does.
    const topics = [1, 2, 3, 4, 5].flatMap((length) =>
      Array.from({ length: words.length ** length }, (_, index) =>
        Array.from({ length }, (_level, at) => words[Math.floor(index / words.length ** at) % words.length]).join(
          separator,
        ),
      ),
    )
    const pattern = fc
      .array(fc.constantFrom('a', 'b', one, many), { minLength: 1, maxLength: 3 })
      .map((levels) => levels.join(separator))
      .filter((text) => topicProblem(syntax, text) === undefined)
    fc.assert(
      fc.property(pattern, pattern, (left, right) => {
        const both = topics.some((topic) => topicMatches(syntax, left, topic) && topicMatches(syntax, right, topic))
        // The empty routing key is the one topic without levels.
        const none = syntax === 'amqp' && topicMatches(syntax, left, '') && topicMatches(syntax, right, '')
        expect(topicsOverlap(syntax, left, right)).toBe(both || none)
      }),
    )
  })

  test.each([
    ['exact', 'a', 'a', true],
    ['exact', 'a', '#', false],
    ['hook', 'github', 'github:push', true],
    ['hook', 'github:push', 'github:ping', false],
    ['s3', 'photos', 'photos:s3:ObjectCreated:Put', true],
    ['s3', 'photos:s3:ObjectCreated:*', 'photos:s3:ObjectRemoved:*', false],
    ['mqtt', '$share/g/a/#', 'a/b', true],
  ] as const)('%s: %s and %s: %s', (syntax, left, right, expected) => {
    expect(topicsOverlap(syntax, left, right)).toBe(expected)
    expect(topicsOverlap(syntax, right, left)).toBe(expected)
  })

  test('however often # stands in them', () => {
    const pattern = Array.from({ length: 40 }, () => '#.a').join('.')
    expect(topicsOverlap('amqp', pattern, `${pattern}.b`)).toBe(false)
  })
})
