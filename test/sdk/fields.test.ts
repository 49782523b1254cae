import { mkdtempDisposableSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { HubError, checkConfig, environmentNames, field, fieldsJsonSchema, parseConfig, problemText, tlsFields } from '../../src/sdk/index.ts' // prettier-ignore
import type { Fields, ParseOptions } from '../../src/sdk/index.ts'

const fields = {
  url: field.url({ description: 'Broker.', protocols: ['mqtt:', 'mqtts:'], required: true }),
  name: field.string({ description: 'Name.', pattern: /^[a-z]+$/, patternHint: 'must be lower-case letters' }),
  inFlightMax: field.integer({ description: 'Bound.', min: 1, max: 9, default: 3, env: ['max_inflight'] }),
  clean: field.boolean({ description: 'Clean.', default: false }),
  wait: field.duration({ description: 'Wait.', default: '1m', minMs: 1000, maxMs: 86_400_000 }),
  size: field.size({ description: 'Size.', minBytes: 10, maxBytes: 2 ** 20 }),
  qos: field.choice([0, 1, 2], { description: 'QoS.', default: 1 }),
  mode: field.choice(['sync', 'async'], { description: 'Mode.' }),
  topics: field.list({ description: 'Topics.' }),
  labels: field.map({ description: 'Labels.' }),
  password: field.secret({ description: 'Password.', env: ['broker_password'] }),
  tls: field.group('TLS.', tlsFields),
} as const
const url = 'mqtt://host:1883'

/** The problems of these keys, next to a valid `url`. */
function problems(input: object, options: ParseOptions = {}, declared: Fields = fields): string[] {
  return checkConfig(declared, { url, ...input }, options).problems.map(problemText)
}

describe('parsing', () => {
  test('gives values in base units, and defaults parsed like input', () => {
    const config = parseConfig(fields, { url, size: '1KiB', topics: 'a, b,,c', labels: { rack: 7, main: true } })
    expect(config).toEqual({
      url, inFlightMax: 3, clean: false, wait: 60_000, size: 1024, qos: 1, topics: ['a', 'b', 'c'],
      labels: { rack: '7', main: 'true' }, tls: { insecureSkipVerify: false },
    }) // prettier-ignore
  })

  test('a key without a value is a key that is not set, as `tls:` with everything commented out', () => {
    expect(parseConfig(fields, { url, tls: null, inFlightMax: null }).inFlightMax).toBe(3)
    expect(checkConfig(fields, { url: null }).problems.map(problemText)).toEqual(['url is required'])
  })

  test('no input at all is an empty mapping', () => {
    expect(checkConfig(fields, undefined).problems.map(problemText)).toEqual(['url is required'])
    expect(checkConfig({ zone: field.string({ description: 'Zone.', default: 'UTC' }) }, null).config).toEqual({ zone: 'UTC' }) // prettier-ignore
  })

  test.each([
    [{ url: 5 }, 'url must be a URL'],
    [{ url: 'host:1883' }, 'url must be a URL that starts with mqtt://, mqtts://'],
    [{ url: 'http://host' }, 'url must be a URL that starts with mqtt://, mqtts://'],
    [{ name: 'A1' }, 'name must be lower-case letters'],
    [{ name: 5 }, 'name must be text'],
    [{ inFlightMax: '5' }, 'inFlightMax must be a whole number'],
    [{ inFlightMax: 1.5 }, 'inFlightMax must be a whole number'],
    [{ inFlightMax: 0 }, 'inFlightMax must be at least 1'],
    [{ inFlightMax: 10 }, 'inFlightMax must be at most 9'],
    [{ clean: 'yes' }, 'clean must be true or false'],
    [{ wait: 30 }, 'wait needs a unit: write "30s" or "30ms"'],
    [{ wait: '30' }, 'wait needs a unit: write "30s" or "30ms"'],
    [{ wait: 'soon' }, 'wait must be a duration such as "30s" or "1m30s"'],
    [{ wait: '1ms' }, 'wait must be at least 1s'],
    [{ wait: '25h' }, 'wait must be at most 24h'],
    [{ size: 100 }, 'size needs a unit: write "100B" or "100KiB"'],
    [{ size: '100' }, 'size needs a unit: write "100B" or "100KiB"'],
    [{ size: 'big' }, 'size must be a size such as "512KiB" or "1MiB"'],
    [{ size: '9B' }, 'size must be at least 10B'],
    [{ size: '2MiB' }, 'size must be at most 1MiB'],
    [{ qos: 3 }, 'qos must be one of 0, 1, 2'],
    [{ mode: 'asynk' }, 'mode must be one of sync, async; did you mean async?'],
    [{ topics: 5 }, 'topics must be a list'],
    [{ topics: ['a', 5] }, 'topics.1 must be text'],
    [{ labels: ['a'] }, 'labels must be a mapping'],
    [{ password: ['a'] }, 'password must be text'],
    [{ tls: 'on' }, 'tls must be a mapping'],
    [{ tls: { insecureSkipVerify: 1 } }, 'tls.insecureSkipVerify must be true or false'],
    [{ inFlghtMax: 5 }, 'inFlghtMax is not a known key; did you mean inFlightMax?'],
    [{ tls: { cafile: 'x' } }, 'tls.cafile is not a known key; did you mean caFile?'],
    [{ passwordfile: 'x' }, 'passwordfile is not a known key; did you mean passwordFile?'],
    [{ somethingElse: 5 }, 'somethingElse is not a known key'],
  ])('%j: %s', (input, sentence) => {
    expect(problems(input)).toEqual([sentence])
  })

  test('all problems come at once, with the path from the root of the file', () => {
    const { problems: found } = checkConfig(fields, { url: 1, tls: { caFil: 'x' }, qos: 9 }, { path: ['connectors', 'eu'] }) // prettier-ignore
    expect(found.map(problemText).toSorted()).toEqual([
      'connectors.eu.qos must be one of 0, 1, 2',
      'connectors.eu.tls.caFil is not a known key; did you mean caFile?',
      'connectors.eu.url must be a URL',
    ])
    expect(found.find(({ message }) => message.startsWith('is not'))?.path).toEqual([
      'connectors',
      'eu',
      'tls',
      'caFil',
    ])
  })

  test.each([[[]], ['text'], [5]])('%j is not a configuration', (input) => {
    expect(checkConfig(fields, input).problems.map(problemText)).toEqual(['must be a mapping'])
  })

  test('parseConfig throws one error with every problem', () => {
    expect(() => parseConfig(fields, { wait: 30 })).toThrow(
      expect.objectContaining({
        code: 'HUB_CONFIG_INVALID',
        message: 'url is required; wait needs a unit: write "30s" or "30ms"',
      }) as HubError,
    )
  })
})

describe('environment', () => {
  const options = (env: Record<string, string>): ParseOptions => ({ env, envPrefix: 'HUB_MQTT' })

  test('names are built from the prefix and the key, then the field’s own', () => {
    expect(environmentNames('inFlightMax', fields.inFlightMax, 'HUB_MQTT')).toEqual(['HUB_MQTT_IN_FLIGHT_MAX', 'max_inflight']) // prettier-ignore
    expect(environmentNames('inFlightMax', fields.inFlightMax, undefined)).toEqual(['max_inflight'])
    expect(environmentNames('url', fields.url, 'HUB_MQTT')).toEqual(['HUB_MQTT_URL'])
  })

  test('text becomes the type of its field; the file wins over it, the prefixed name over the field’s own', () => {
    const env = {
      HUB_MQTT_URL: url, HUB_MQTT_IN_FLIGHT_MAX: '5', max_inflight: '6', HUB_MQTT_CLEAN: 'TRUE', HUB_MQTT_QOS: '2',
      HUB_MQTT_WAIT: '5s', HUB_MQTT_TOPICS: 'a,b', HUB_MQTT_TLS_CA_FILE: '/ca.pem', HUB_MQTT_TLS_INSECURE_SKIP_VERIFY: '0',
    } // prettier-ignore
    expect(parseConfig(fields, { wait: '7s' }, options(env))).toEqual({
      url, inFlightMax: 5, clean: true, qos: 2, wait: 7000, topics: ['a', 'b'],
      tls: { caFile: '/ca.pem', insecureSkipVerify: false },
    }) // prettier-ignore
    expect(parseConfig(fields, { url }, { env: { max_inflight: '6' } }).inFlightMax).toBe(6)
  })

  test('an empty variable is not set; a wrong one is refused like input', () => {
    expect(parseConfig(fields, { url }, options({ HUB_MQTT_IN_FLIGHT_MAX: '', max_inflight: '4' })).inFlightMax).toBe(4)
    expect(problems({}, options({ HUB_MQTT_IN_FLIGHT_MAX: 'many', HUB_MQTT_CLEAN: 'maybe' }))).toEqual([
      'inFlightMax (HUB_MQTT_IN_FLIGHT_MAX) must be a whole number',
      'clean (HUB_MQTT_CLEAN) must be true or false',
    ])
  })
})

describe('secrets', () => {
  let folder = ''
  let file = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hub-fields-'))
    file = join(folder, 'password')
    writeFileSync(file, ' from file \r\n\n')
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const revealed = (input: object, options: ParseOptions = {}): string | undefined =>
    parseConfig(fields, { url, ...input }, options).password?.reveal()

  test('come from the value, numbers and booleans of YAML included, or from the file, trailing white space cut', () => {
    expect(revealed({ password: 'a ' })).toBe('a ')
    expect(revealed({ password: 1234 })).toBe('1234')
    expect(revealed({ password: true })).toBe('true')
    expect(revealed({ passwordFile: file })).toBe(' from file')
    expect(parseConfig(fields, { url, passwordFile: file })).not.toHaveProperty('passwordFile')
  })

  test('come from the environment, value or file, unless the configuration names one', () => {
    const env = { HUB_MQTT_PASSWORD: 'from env' }
    expect(revealed({}, { env, envPrefix: 'HUB_MQTT' })).toBe('from env')
    expect(revealed({}, { env: { broker_password: 'own name' } })).toBe('own name')
    expect(revealed({ passwordFile: file }, { env, envPrefix: 'HUB_MQTT' })).toBe(' from file')
    expect(revealed({}, { env: { HUB_MQTT_PASSWORD_FILE: file }, envPrefix: 'HUB_MQTT' })).toBe(' from file')
  })

  test('a value and a file together are refused, and so is a file that cannot be read', () => {
    expect(problems({ password: 'a', passwordFile: file })).toEqual([
      'passwordFile cannot be set together with password; remove one of them',
    ])
    const [missing] = problems({ passwordFile: join(folder, 'nowhere') })
    expect(missing).toMatch(/^passwordFile cannot be read: ENOENT/)
    expect(problems({ passwordFile: join(folder, 'nowhere') }, { readSecretFiles: false })).toEqual([])
    expect(problems({ passwordFile: 5 })).toEqual(['passwordFile must be the path of a file'])
  })

  test('a required one may come from its twin, also inside a group that is left out', () => {
    const required = { auth: field.group('Auth.', { key: field.secret({ description: 'Key.', required: true }) }) }
    const found = (input: object, options: ParseOptions = {}): string[] => checkConfig(required, input, options).problems.map(problemText) // prettier-ignore
    expect(found({})).toEqual(['auth.key is required (or its twin ending in File)'])
    expect(found({ auth: { keyFile: file } })).toEqual([])
    expect(found({ auth: { keyFile: '/other/machine' } }, { readSecretFiles: false })).toEqual([])
    expect(found({}, { env: { HUB_S_AUTH_KEY: 'x' }, envPrefix: 'HUB_S' })).toEqual([])
  })

  test('never appear in problems or in a printed configuration', () => {
    const config = parseConfig(fields, { url, password: 'hunter2' })
    expect(JSON.stringify(config)).not.toContain('hunter2')
    expect(problems({ password: ['hunter2'], nonsense: 1 }).join()).not.toContain('hunter2')
    expect(problems({ url: 'http://user:hunter2@host' }).join()).not.toContain('hunter2')
  })
})

test('the JSON Schema describes the file as it is written', () => {
  const schema = fieldsJsonSchema(fields) as {
    readonly properties: Record<string, Record<string, unknown>>
    readonly required: unknown
    readonly additionalProperties: unknown
  }
  expect(schema.required).toEqual(['url'])
  expect(schema.additionalProperties).toBe(false)
  expect(Object.keys(schema.properties).toSorted()).toEqual([...Object.keys(fields), 'passwordFile'].toSorted())
  expect(schema.properties).toMatchObject({
    url: { type: 'string', description: 'Broker.' },
    name: { type: 'string', pattern: '^[a-z]+$' },
    inFlightMax: { type: 'integer', minimum: 1, maximum: 9, default: 3 },
    clean: { type: 'boolean', default: false },
    wait: { type: 'string', default: '1m' },
    qos: { enum: [0, 1, 2], default: 1 },
    topics: { type: 'array', items: { type: 'string' } },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    password: { type: 'string' },
    passwordFile: { type: 'string' },
    tls: { type: 'object', additionalProperties: false, properties: { caFile: { type: 'string' } } },
  })
  const pattern = new RegExp(String(schema.properties['wait']?.['pattern']))
  for (const text of ['0', '30s', '1m30s', '.5h']) expect(text).toMatch(pattern)
  for (const text of ['30', 'soon', '']) expect(text).not.toMatch(pattern)
})

describe('a list of mappings', () => {
  const declared = {
    queues: field.entries(
      {
        name: field.string({ description: 'Name.', required: true }),
        durable: field.boolean({ description: 'Durable.', default: true }),
      },
      { description: 'Queues.', shorthand: 'name', default: [], env: ['queues'] },
    ),
  } as const
  const parsed = (input: unknown, env = {}): unknown => parseConfig(declared, input, { env }).queues

  test('takes mappings and names, JSON and names with commas from the environment', () => {
    const both = [
      { name: 'a', durable: true },
      { name: 'b', durable: false },
    ]
    expect(parsed({ queues: ['a', { name: 'b', durable: false }] })).toEqual(both)
    expect(parsed({}, { queues: '[{"name":"a"},{"name":"b","durable":false}]' })).toEqual(both)
    expect(parsed({}, { queues: ' a, c' })).toEqual([{ name: 'a', durable: true }, { name: 'c', durable: true }]) // prettier-ignore
    expect(parsed({})).toEqual([])
  })

  test('refuses what is no such list, and says where', () => {
    const refused = (input: unknown, env = {}): string[] => checkConfig(declared, input, { env }).problems.map(problemText) // prettier-ignore
    expect(refused({ queues: [{ name: 'a', durble: true }] })).toEqual([
      expect.stringContaining('queues.0.durble is not a known key'),
    ])
    expect(refused({ queues: [{ durable: true }] })).toEqual(['queues.0.name is required'])
    expect(refused({}, { queues: '[{"name":' })).toEqual(['queues (queues) must be a list'])
  })

  test('holds secrets, from a file and from the environment as well', () => {
    const hooks = {
      hooks: field.entries(
        {
          name: field.string({ description: 'Name.', required: true }),
          secret: field.secret({ description: 'Key.' }),
        },
        { description: 'Hooks.', shorthand: 'name', required: true },
      ),
    } as const
    using folder = mkdtempDisposableSync(join(tmpdir(), 'hub-fields-'))
    const file = join(folder.path, 'hook-secret')
    writeFileSync(file, 'from-a-file\n')
    const revealed = (input: unknown, env = {}): unknown => parseConfig(hooks, input, { env, envPrefix: 'HUB_W' }).hooks.map((hook) => [hook.secret?.reveal(), Object.keys(hook)]) // prettier-ignore
    expect(revealed({ hooks: [{ name: 'a', secretFile: file }, { name: 'b', secret: 'inline' }, 'c'] })).toEqual([
      ['from-a-file', ['name', 'secret']],
      ['inline', ['name', 'secret']],
      [undefined, ['name']],
    ])
    expect(revealed({}, { HUB_W_HOOKS: JSON.stringify([{ name: 'a', secretFile: file }]) })).toEqual([['from-a-file', ['name', 'secret']]]) // prettier-ignore
    const refused = (input: unknown): string[] => checkConfig(hooks, input, {}).problems.map(problemText)
    expect(refused({ hooks: [{ name: 'a', secretFile: '/nowhere' }] })[0]).toContain(
      'hooks.0.secretFile cannot be read',
    )
    expect(refused({ hooks: [{ name: 'a', secret: 'x', secretFile: file }] })[0]).toContain(
      'cannot be set together with secret',
    )
    expect(refused({ hooks: [{ name: 'a', secrt: 'x' }] })[0]).toContain('did you mean secret?')
  })

  test('is described by the JSON Schema', () => {
    expect(fieldsJsonSchema(declared)).toMatchObject({
      properties: {
        queues: { type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'object', required: ['name'] }] } },
      },
    })
  })
})
