// What MinIO is asked for, from topics and filters.

import { describe, expect, test } from 'vitest'

import { readS3Document } from '../../src/sdk/index.ts'
import type { S3Record } from '../../src/sdk/index.ts'
import { Wishes, wantedTopics } from './wishes.ts'

const none = { prefix: undefined, suffix: undefined, filters: [] }

function record(key: string, eventName = 's3:ObjectCreated:Put', bucket = 'photos'): S3Record {
  const read = readS3Document(JSON.stringify({ Records: [{ eventName, s3: { bucket: { name: bucket }, object: { key } } }] }), 'plain') // prettier-ignore
  if (read.kind !== 'records' || read.records[0] === undefined) throw new Error('no record')
  return read.records[0]
}

describe('what a bucket is asked for', () => {
  test('is what all of its topics want, each once and no more than a group says', () => {
    const { byBucket } = new Wishes(['photos:s3:ObjectCreated:Put', 'photos:s3:ObjectCreated:*', 'photos:s3:ObjectRemoved:Delete', 'other:s3:ObjectAccessed:Get'], none) // prettier-ignore
    expect([...byBucket.values()].map(({ bucket, events }) => [bucket, events])).toEqual([
      ['photos', ['s3:ObjectCreated:*', 's3:ObjectRemoved:Delete']],
      ['other', ['s3:ObjectAccessed:Get']],
    ])
  })

  test('by its name alone is everything but reading, in words that MinIO knows', () => {
    const events = new Wishes(['photos'], none).byBucket.get('photos')?.events ?? []
    expect(events).toContain('s3:ObjectCreated:*')
    expect(events).toContain('s3:ObjectRemoved:*')
    expect(events.filter((event) => event.includes('ObjectAccessed'))).toEqual([])
    // Its parser has no `*` for these.
    expect(events).not.toContain('s3:Scanner:*')
    expect(events).toContain('s3:Scanner:ManyVersions')
  })

  test('has the prefix and suffix of the bucket, else the general ones', () => {
    const config = { prefix: 'in/', suffix: '.jpg', filters: [{ bucket: 'other', prefix: undefined, suffix: '.png' }] }
    const { byBucket } = new Wishes(['photos', 'other'], config)
    expect([...byBucket.values()].map(({ prefix, suffix }) => [prefix, suffix])).toEqual([['in/', '.jpg'], ['', '.png']]) // prettier-ignore
  })
})

test('an event is wanted by topic, prefix and suffix together', () => {
  const wishes = new Wishes(['photos:s3:ObjectCreated:*'], { ...none, prefix: 'in/', suffix: '.jpg' })
  expect(wishes.wants(record('in/a.jpg'))).toBe(true)
  expect(wishes.wants(record('in/a.jpg', 's3:ObjectCreated:Copy'))).toBe(true)
  expect(wishes.wants(record('in/a.jpg', 's3:ObjectRemoved:Delete'))).toBe(false)
  expect(wishes.wants(record('out/a.jpg'))).toBe(false)
  expect(wishes.wants(record('in/a.png'))).toBe(false)
  expect(wishes.wants(record('in/a.jpg', 's3:ObjectCreated:Put', 'other'))).toBe(false)
})

test.each([
  ['Photos', 'lower-case'],
  ['photos:ObjectCreated:Put', 'must be an event'],
  ['photos:s3:ObjectCreate:*', 'did you mean s3:ObjectCreated:*?'],
])('topic %s is refused, and the others work', (topic, problem) => {
  const { refused, byBucket } = new Wishes([topic, 'other'], none)
  expect(refused.map(({ code, message }) => [code, message.includes(problem)])).toEqual([['HUB_TOPIC_INVALID', true]])
  expect([...byBucket.keys()]).toEqual(['other'])
})

test('topics of the configuration replace those of the annotations', () => {
  expect(wantedTopics([{ kind: 'topic', topic: 'a' }], ['b'])).toEqual(['b'])
  expect(wantedTopics([{ kind: 'topic', topic: 'a' }], undefined)).toEqual(['a'])
})
