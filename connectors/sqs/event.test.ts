// What becomes of a message: headers, envelopes of SNS, notifications of S3.

import { describe, expect, test } from 'vitest'

import type { EventMessage } from '../../src/sdk/index.ts'
import { openMessage } from './event.ts'
import type { Opened, Origin } from './event.ts'

const URL = 'https://sqs.eu-west-1.amazonaws.com/123456789012/orders'
const SYSTEM = { ApproximateReceiveCount: '2', SentTimestamp: '1767607200123', SenderId: 'AIDA' }

function open(body: string, unwrap: Origin['unwrap'] = 'none', more: object = {}): Opened {
  const origin = { instance: 'sqs-eu', topic: 'orders', queueUrl: URL, queueName: 'orders', receivedMs: 1, unwrap }
  return openMessage({ MessageId: 'm-1', ReceiptHandle: 'r', Body: body, Attributes: SYSTEM, ...more }, origin)
}

function events(opened: Opened): readonly EventMessage[] {
  if (opened.kind !== 'events') throw new Error(`it is ${opened.kind}`)
  return opened.events
}

const bodyOf = ({ body }: EventMessage): string => Buffer.from(body).toString()

function record(key: string, more: object = {}): object {
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    awsRegion: 'eu-west-1',
    eventTime: '2026-01-05T10:00:00.000Z',
    eventName: 'ObjectCreated:Put',
    responseElements: { 'x-amz-request-id': 'C3D13FE58DE4C810' },
    s3: { bucket: { name: 'photos' }, object: { key, size: 1024, eTag: 'abc', sequencer: '0055AED6DCD90281E5' } },
    ...more,
  }
}

const s3Event = JSON.stringify({ Records: [record('2026/cat+1.jpg'), record('2026/dog.jpg')] })

function snsEnvelope(message: string, more: object = {}): string {
  return JSON.stringify({
    Type: 'Notification',
    MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
    TopicArn: 'arn:aws:sns:eu-west-1:123456789012:MyTopic',
    Subject: 'My First Message',
    Message: message,
    Timestamp: '2026-01-05T10:00:01.000Z',
    SignatureVersion: '1',
    MessageAttributes: { tenant: { Type: 'String', Value: 'acme' }, raw: { Type: 'Binary', Value: 'AP8=' } },
    ...more,
  })
}

describe('a message', () => {
  test('says where it is from, how often it was received, and what its sender attached', () => {
    const fifo = { MessageGroupId: 'customer-7', SequenceNumber: '18849496460467696128', MessageDeduplicationId: 'd-1' }
    const attributes = {
      tenant: { DataType: 'String', StringValue: 'Grün' },
      count: { DataType: 'Number.int', StringValue: '7' },
      raw: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
      'Content-Type': { DataType: 'String', StringValue: 'text/csv' },
    }
    const [event] = events(open('a;b', 'none', { Attributes: { ...SYSTEM, ...fifo }, MessageAttributes: attributes }))
    expect({ ...event, body: event === undefined ? '' : bodyOf(event) }).toEqual({
      id: 'sqs-eu:orders:m-1',
      source: 'sqs-eu',
      topic: 'orders',
      body: 'a;b',
      attempt: 2,
      timestampMs: 1_767_607_200_123,
      orderingKey: 'customer-7',
      contentType: 'text/csv',
      headers: {
        'X-SQS-Message-ID': 'm-1',
        'X-SQS-Queue-URL': URL,
        'X-SQS-Receive-Count': '2',
        'X-SQS-Sent-Timestamp': '1767607200123',
        'X-SQS-Group-ID': 'customer-7',
        'X-SQS-Sequence-Number': '18849496460467696128',
        'X-SQS-Deduplication-ID': 'd-1',
        'X-SQS-Attr-tenant': Buffer.from('Grün').toString('base64'),
        'X-SQS-Attr-tenant-Enc': 'b64',
        'X-SQS-Attr-count': '7',
        'X-SQS-Attr-raw': 'AP8=',
        'X-SQS-Attr-raw-Enc': 'b64',
        'X-SQS-Attr-Content-Type': 'text/csv',
      },
    })
  })

  test('is left whole where nothing is to be unwrapped: notifications, EventBridge', () => {
    const eventBridge =
      '{"version":"0","detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"photos"}}}'
    for (const body of [s3Event, snsEnvelope('hello'), eventBridge]) expect(events(open(body)).map(bodyOf)).toEqual([body]) // prettier-ignore
    for (const unwrap of ['sns', 's3'] as const) expect(events(open(eventBridge, unwrap)).map(bodyOf)).toEqual([eventBridge]) // prettier-ignore
  })
})

describe('unwrap: sns', () => {
  test('opens the envelope: message, subject, topic, attributes', () => {
    const [event] = events(open(snsEnvelope('hello', {}), 'sns'))
    expect(event === undefined ? '' : bodyOf(event)).toBe('hello')
    expect(event?.timestampMs).toBe(Date.UTC(2026, 0, 5, 10, 0, 1))
    expect(event?.headers).toMatchObject({
      'X-SQS-Message-ID': 'm-1',
      'X-Sns-Message-Id': '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
      'X-Sns-Arn': 'arn:aws:sns:eu-west-1:123456789012:MyTopic',
      'X-Sns-Subject': 'My First Message',
      'X-Sns-Attr-tenant': 'acme',
      'X-Sns-Attr-tenant-Type': 'String',
      'X-Sns-Attr-raw': 'AP8=',
      'X-Sns-Attr-raw-Enc': 'b64',
    })
  })

  test('leaves raw delivery and requests to confirm a subscription as they are', () => {
    const confirm = '{"Type":"SubscriptionConfirmation","TopicArn":"arn:x","Message":"You have chosen","Token":"t"}'
    for (const body of ['hello', '{"Type":"Notification"}', '{not json', confirm])
      expect(events(open(body, 'sns')).map(bodyOf)).toEqual([body])
  })
})

describe('unwrap: s3', () => {
  test('makes an event of each record, each with an id of its own that stays', () => {
    const [first, second, ...more] = events(open(s3Event, 's3'))
    expect(more).toEqual([])
    expect(first?.headers).toMatchObject({
      'X-SQS-Message-ID': 'm-1',
      'X-S3-Event-Name': 's3:ObjectCreated:Put',
      'X-S3-Bucket': 'photos',
      'X-S3-Key': '2026/cat 1.jpg',
      'X-S3-Size': '1024',
      'X-S3-Etag': 'abc',
      'X-S3-Sequencer': '0055AED6DCD90281E5',
    })
    expect(first?.contentType).toBe('application/json')
    expect(JSON.parse(first === undefined ? '' : bodyOf(first))).toEqual({ Records: [record('2026/cat+1.jpg')] })
    expect(first?.id).not.toBe(second?.id)
    expect(first?.id).toMatch(/^sqs-eu:orders:photos\//)
    const again = events(open(s3Event, 's3', { MessageId: 'm-2' }))
    expect(again.map(({ id }) => id)).toEqual([first?.id, second?.id])
  })

  test('also inside an envelope of SNS', () => {
    const opened = events(open(snsEnvelope(s3Event, { Subject: 'Amazon S3 Notification' }), 's3'))
    expect(opened.map(({ headers }) => [headers['X-S3-Key'], headers['X-Sns-Subject']])).toEqual([
      ['2026/cat 1.jpg', 'Amazon S3 Notification'],
      ['2026/dog.jpg', 'Amazon S3 Notification'],
    ])
  })

  test('recognises the test event, and leaves everything else whole', () => {
    const testEvent = '{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-05T10:00:00.000Z","Bucket":"photos","RequestId":"5","HostId":"8"}' // prettier-ignore
    expect(open(testEvent, 's3')).toEqual({ kind: 'test', bucket: 'photos' })
    expect(open(snsEnvelope(testEvent), 's3')).toEqual({ kind: 'test', bucket: 'photos' })
    for (const body of ['hello', '{"Records":[{"kinesis":{}}]}', snsEnvelope('hello')])
      expect(events(open(body, 's3')).map(bodyOf)).toEqual([body])
  })
})
