// Against the examples of Amazon's S3 User Guide and the shapes that MinIO's source writes.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { readS3Document } from '../../src/sdk/index.ts'
import type { S3KeySpelling, S3Record } from '../../src/sdk/index.ts'

/** S3 User Guide, "Event message structure", the example of a message of version 2.1. */
const AWS_PUT = {
  eventVersion: '2.1',
  eventSource: 'aws:s3',
  awsRegion: 'us-west-2',
  eventTime: '1970-01-01T00:00:00.000Z',
  eventName: 'ObjectCreated:Put',
  userIdentity: { principalId: 'AIDAJDPLRKLG7UEXAMPLE' },
  requestParameters: { sourceIPAddress: '127.0.0.1' },
  responseElements: {
    'x-amz-request-id': 'C3D13FE58DE4C810',
    'x-amz-id-2': 'FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD',
  },
  s3: {
    s3SchemaVersion: '1.0',
    configurationId: 'testConfigRule',
    bucket: { name: 'amzn-s3-demo-bucket', ownerIdentity: { principalId: 'A3NL1KOZZKExample' }, arn: 'arn:aws:s3:::amzn-s3-demo-bucket' },
    object: { key: 'HappyFace.jpg', size: 1024, eTag: 'd41d8cd98f00b204e9800998ecf8427e', versionId: '096fKKXTRTtl3on89fVO.nfljtsv6qko', sequencer: '0055AED6DCD90281E5' },
  },
} // prettier-ignore

/** S3 User Guide, the test message sent when a notification is configured. */
const AWS_TEST = {
  Service: 'Amazon S3',
  Event: 's3:TestEvent',
  Time: '2014-10-13T15:57:02.089Z',
  Bucket: 'amzn-s3-demo-bucket',
  RequestId: '5582815E1AEA5ADF',
  HostId: '8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE',
}

function minioRecord(key: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    eventVersion: '2.0',
    eventSource: 'minio:s3',
    eventTime: '2026-01-05T10:00:00.000Z',
    eventName: 's3:ObjectCreated:Put',
    responseElements: { 'x-amz-request-id': '17A0000000000000' },
    s3: { bucket: { name: 'photos' }, object: { key, size: 3, eTag: 'e', sequencer: '17A1', ...more } },
  }
}

function recordsOf(document: unknown, keys: S3KeySpelling = 'escaped'): readonly S3Record[] {
  const read = readS3Document(Buffer.from(JSON.stringify(document)), keys)
  if (read.kind !== 'records') throw new Error(JSON.stringify(read))
  return read.records
}

function keyOf(key: string, keys: S3KeySpelling): string | undefined {
  return recordsOf({ Records: [minioRecord(key)] }, keys)[0]?.key
}

describe("Amazon's examples", () => {
  test('a record says what happened to which object', () => {
    const [record] = recordsOf({ Records: [AWS_PUT] })
    expect(record).toMatchObject({
      eventName: 's3:ObjectCreated:Put',
      bucket: 'amzn-s3-demo-bucket',
      key: 'HappyFace.jpg',
      size: 1024,
      eTag: 'd41d8cd98f00b204e9800998ecf8427e',
      versionId: '096fKKXTRTtl3on89fVO.nfljtsv6qko',
      sequencer: '0055AED6DCD90281E5',
      eventTimeMs: 0,
    })
    expect(JSON.parse(Buffer.from(record?.body ?? []).toString())).toEqual({ Records: [AWS_PUT] })
  })

  test('the test message is recognised and is no record', () => {
    expect(readS3Document(JSON.stringify(AWS_TEST), 'escaped')).toEqual({ kind: 'test', bucket: 'amzn-s3-demo-bucket' })
  })

  test('"red flower.jpg" is spelled red+flower.jpg', () => {
    expect(keyOf('red+flower.jpg', 'escaped')).toBe('red flower.jpg')
  })
})

describe('keys', () => {
  // Right: Go's url.QueryEscape of the left, which MinIO calls for its targets.
  test.each([
    ['2026/cat 1.jpg', '2026%2Fcat+1.jpg'],
    ['1+1=2', '1%2B1%3D2'],
    ['100%.txt', '100%25.txt'],
    ['%2F', '%252F'],
    ['grün/✓ 😀', 'gr%C3%BCn%2F%E2%9C%93+%F0%9F%98%80'],
  ])('%s is unescaped where it was escaped, and left alone where it was not', (key, escaped) => {
    expect(keyOf(escaped, 'escaped')).toBe(key)
    expect(keyOf(key, 'plain')).toBe(key)
  })

  test('every key survives its escaping', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (key) => {
        expect(keyOf(encodeURIComponent(key).replaceAll('%20', '+'), 'escaped')).toBe(key)
      }),
    )
  })
})

describe('several records', () => {
  test('each becomes a document of its own, in their order', () => {
    const records = recordsOf({ EventName: 'x', Key: 'y', Records: [minioRecord('a'), minioRecord('b')] })
    expect(records.map(({ key }) => key)).toEqual(['a', 'b'])
    expect(JSON.parse(Buffer.from(records[1]?.body ?? []).toString())).toEqual({ Records: [minioRecord('b')] })
  })

  test("MinIO's keep-alive has none", () => {
    expect(readS3Document('{"Records":null}\n', 'plain')).toEqual({ kind: 'records', records: [] })
  })

  test('a removal has neither size nor entity tag', () => {
    const [record] = recordsOf({ Records: [minioRecord('a', { size: undefined, eTag: undefined, versionId: '' })] })
    expect(record).toMatchObject({ size: undefined, eTag: undefined, versionId: undefined })
  })
})

describe('ids', () => {
  test('a record that is sent again has the same one', () => {
    expect(recordsOf({ Records: [AWS_PUT] })[0]?.id).toBe(recordsOf({ Records: [AWS_PUT] })[0]?.id)
  })

  test('another bucket, key, version, sequencer, event or request has another one', () => {
    const { s3 } = AWS_PUT
    const others = [
      AWS_PUT,
      { ...AWS_PUT, eventName: 'ObjectCreated:Copy' },
      { ...AWS_PUT, responseElements: { 'x-amz-request-id': 'OTHER' } },
      { ...AWS_PUT, s3: { ...s3, bucket: { name: 'other' } } },
      ...[{ key: 'other' }, { key: 'HappyFace.jpg+x' }, { versionId: 'other' }, { sequencer: '1' }].map((change) => ({
        ...AWS_PUT,
        s3: { ...s3, object: { ...s3.object, ...change } },
      })),
    ]
    expect(new Set(recordsOf({ Records: others }).map(({ id }) => id)).size).toBe(others.length)
  })
})

describe('what is no such document', () => {
  test.each([
    ['', 'it is not a JSON object'],
    ['[]', 'it is not a JSON object'],
    ['{', 'it is not a JSON object'],
    ['{}', 'it has no Records'],
    ['{"Records":{}}', 'it has no Records'],
    ['{"Records":[null]}', 'record 1 lacks eventName, bucket or key'],
    [JSON.stringify({ Records: [AWS_PUT, { eventName: 'x', s3: { bucket: { name: 'b' } } }] }), 'record 2 lacks eventName, bucket or key'],
    [JSON.stringify({ Records: [minioRecord('%zz')] }), 'record 1 has a key that is not escaped as in a URL'],
  ])('%j: %s', (document, reason) => {
    expect(readS3Document(document, 'escaped')).toEqual({ kind: 'unknown', reason })
  }) // prettier-ignore

  test('any JSON and any bytes give a value and never a throw', () => {
    const kinds = ['records', 'test', 'unknown']
    fc.assert(
      fc.property(fc.json(), fc.uint8Array(), (json, bytes) => {
        expect(kinds).toContain(readS3Document(json, 'escaped').kind)
        expect(kinds).toContain(readS3Document(`{"Records":[${json}]}`, 'escaped').kind)
        expect(kinds).toContain(readS3Document(bytes, 'plain').kind)
      }),
    )
  })
})
