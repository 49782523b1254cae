import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, describe, expect, test } from 'vitest'

import { checkHubConfig, readHubConfig, triggerDefaults } from '../../src/hub/config.ts'
import type { Environment, HubConfig } from '../../src/hub/config.ts'
import { instanceFields } from '../../src/hub/config-fields.ts'
import { builtInTypes, loadManifest } from '../../src/hub/registry.ts'
import { HubError, problemText } from '../../src/sdk/index.ts'
import type { Secret } from '../../src/sdk/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let files = 0

function file(text: string): string {
  const path = join(folder, `hub-${(files += 1)}.yaml`)
  writeFileSync(path, text)
  return path
}

const read = (text: string, env: Environment = {}): Promise<HubConfig> => readHubConfig({ file: file(text), env })

/** `line:column path message` of everything that is wrong. */
async function findings(text: string, env: Environment = {}): Promise<string[]> {
  const checked = await checkHubConfig({ file: file(text), env })
  expect(checked.config === undefined).toBe(checked.findings.length > 0)
  return checked.findings.map((finding) => `${finding.line}:${finding.column} ${problemText(finding)}`)
}

describe('a configuration', () => {
  test('of nothing has the defaults of the README', async () => {
    const { settings, auth, instances } = await readHubConfig({ env: {} })
    expect(settings).toMatchObject({
      gateway: { url: 'http://127.0.0.1:8080', rebuildInterval: 10_000, rebuildTimeout: 10_000, namespaces: [] },
      topicDelimiter: ',',
      defaults: { mode: 'sync', timeout: 60_000, concurrency: 32, ordering: 'key', contentType: 'text/plain' },
      limits: { inFlightMax: 512, ledgerEntries: 1000 },
      stateDir: '.connector-hub',
      drainTimeout: 25_000,
      admin: { host: '0.0.0.0', port: 8081 },
      log: {
        level: 'info',
        format: 'console',
        printResponse: false,
        printResponseBody: false,
        printRequestBody: false,
      },
    })
    expect([auth, instances]).toEqual([undefined, []])
    expect(triggerDefaults(settings)).toEqual({
      mode: 'sync',
      timeoutMs: 60_000,
      concurrency: 32,
      ordering: 'key',
      retry: { attempts: 5, minWaitMs: 1000, maxWaitMs: 120_000, jitter: 'full', codes: undefined },
    })
  })

  test('comes from the file, from the environment where the file is silent, and from types on the command line', async () => {
    const path = file('gateway: { url: "http://file:1" }\nconnectors:\n  mq: { type: mqtt, qos: 2 }\n')
    const env = {
      HUB_GATEWAY_URL: 'http://environment:1',
      HUB_DRAIN_TIMEOUT: '3s',
      HUB_MQ_QOS: '0',
      HUB_MQ_CLIENT_ID: 'from-env',
      HUB_MQ_IN_FLIGHT_MAX: '7',
    }
    const { settings, instances } = await readHubConfig({ file: path, env, types: ['cron'] })
    expect([settings.gateway.url, settings.drainTimeout]).toEqual(['http://file:1', 3000])
    expect(instances.map(({ name, manifest }) => `${name} ${manifest.name}`)).toEqual(['mq mqtt', 'cron cron'])
    expect(instances[0]?.source).toMatchObject({ qos: 2, clientId: 'from-env' })
    expect(instances[0]?.settings.inFlightMax).toBe(7)
  })

  test('of an instance overrides the defaults of its triggers', async () => {
    const { settings, instances } = await read(
      'defaults: { mode: sync, timeout: 10s, callbackUrl: "http://default/" }\nconnectors:\n  mq: { type: mqtt, mode: async, timeout: 5s, callbackUrl: "http://own/" }\n',
    )
    expect(triggerDefaults(settings, instances[0]?.settings)).toMatchObject({
      mode: 'async',
      timeoutMs: 5000,
      callbackUrl: 'http://own/',
    })
    expect(triggerDefaults(settings)).toMatchObject({ mode: 'sync', timeoutMs: 10_000, callbackUrl: 'http://default/' })
  })

  test('keeps the longest wait at least as long as the shortest', async () => {
    const { settings } = await read('defaults: { retry: { minWait: 5m, codes: [429, "503"] } }')
    expect(triggerDefaults(settings).retry).toMatchObject({
      minWaitMs: 300_000,
      maxWaitMs: 300_000,
      codes: new Set([429, 503]),
    })
  })
})

test.each(['text/plain\\n', 'text/plain; name=\u6f22'])(
  'a content type that no header can carry, "%s", is refused',
  async (type) => {
    const text = `defaults:\n  contentType: "${type}"\nconnectors:\n  mq:\n    type: mqtt\n    contentType: "${type}"\n`
    const what = 'has characters that no header can carry, such as a line break. Write a media type such as text/plain.'
    expect(await findings(text)).toEqual([`2:3 defaults.contentType ${what}`, `6:5 connectors.mq.contentType ${what}`])
  },
)

test('a callback URL with letters beyond ASCII is one that a header can carry', async () => {
  const { settings } = await read('defaults: { callbackUrl: "http://gateway/function/done?of=größe-漢" }')
  expect(triggerDefaults(settings).callbackUrl).toBe('http://gateway/function/done?of=gr%C3%B6%C3%9Fe-%E6%BC%A2')
})

// OpenFaaS contract, environment of the connectors.
test.for([
  ['gateway_url', 'http://gateway.openfaas:8080', 'gateway.url', 'http://gateway.openfaas:8080'],
  ['OPENFAAS_URL', 'http://gateway.openfaas:8080', 'gateway.url', 'http://gateway.openfaas:8080'],
  ['upstream_timeout', '2m', 'defaults.timeout', 120_000],
  ['rebuild_interval', '30s', 'gateway.rebuildInterval', 30_000],
  ['rebuild_timeout', '3s', 'gateway.rebuildTimeout', 3000],
  ['topic_delimiter', '|', 'topicDelimiter', '|'],
  ['content_type', 'application/json', 'defaults.contentType', 'application/json'],
  ['asynchronous_invocation', 'true', 'defaults.mode', 'async'],
  ['print_response', 'true', 'log.printResponse', true],
  ['print_response_body', '1', 'log.printResponseBody', true],
  ['print_request_body', 'true', 'log.printRequestBody', true],
  ['log_encoding', 'json', 'log.format', 'json'],
  ['debug', '1', 'log.level', 'debug'],
  ['max_retry_attempts', '9', 'defaults.retry.attempts', 9],
  ['initial_retry_wait', '7s', 'defaults.retry.minWait', 7000],
  ['max_retry_wait', '9m', 'defaults.retry.maxWait', 540_000],
  ['retry_http_codes', '429,502', 'defaults.retry.codes', [429, 502]],
] as const)('OpenFaaS: %s=%s is %s', async ([name, value, path, expected]) => {
  const { settings } = await readHubConfig({ env: { [name]: value } })
  const found = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], settings)
  expect(found).toEqual(expected)
})

test("the hub's own names of the environment win over those of OpenFaaS", async () => {
  const openFaas = { asynchronous_invocation: 'true', debug: 'true', upstream_timeout: '2m' }
  const own = { HUB_DEFAULTS_MODE: 'sync', HUB_LOG_LEVEL: 'warn', HUB_DEFAULTS_TIMEOUT: '3m' }
  const { settings } = await readHubConfig({ env: { ...openFaas, ...own } })
  expect([settings.defaults.mode, settings.log.level, settings.defaults.timeout]).toEqual(['sync', 'warn', 180_000])
})

describe('credentials of the gateway', () => {
  const revealed = ({ auth }: HubConfig): unknown => (auth === undefined ? undefined : [auth.username, auth.password.reveal()]) // prettier-ignore

  test('come from files, without their line ends', async () => {
    writeFileSync(join(folder, 'user'), 'admin\n')
    writeFileSync(join(folder, 'password'), 's3cret\n')
    const text = `gateway: { auth: { usernameFile: ${folder}/user, passwordFile: ${folder}/password } }`
    expect(revealed(await read(text))).toEqual(['admin', 's3cret'])
  })

  test.each(['0123', '12345678901234567890', '1.10', '0x1F', 'True', "'0123'"])(
    'are what is typed, also where YAML reads %s as something else',
    async (typed) => {
      const login = `username: ${typed}, password: ${typed}`
      const hook = `{ name: a, scheme: github, secret: ${typed} }`
      const connectors = `mq: { <<: { password: ${typed} }, type: mqtt }, hooks: { type: webhook, hooks: [${hook}] }`
      const { auth, instances } = await read(`gateway: { auth: { ${login} } }\nconnectors: { ${connectors} }\n`)
      const [mq, hooks] = instances.map(({ source }) => source) as [
        { password: Secret },
        { hooks: { secret: Secret }[] },
      ]
      const plain = typed.replaceAll("'", '')
      expect([auth?.username, auth?.password.reveal(), mq.password.reveal(), hooks.hooks[0]?.secret.reveal()]).toEqual([plain, plain, plain, plain]) // prettier-ignore
    },
  )

  test('of OpenFaaS: basic_auth with secret_mount_path; explicit ones win', async () => {
    const mount = join(folder, 'mount')
    mkdirSync(mount)
    const env = { basic_auth: 'true', secret_mount_path: mount }
    await expect(read('', env)).rejects.toThrow('basic-auth-user does not exist; mount the secret')
    writeFileSync(join(mount, 'basic-auth-user'), 'admin\n')
    writeFileSync(join(mount, 'basic-auth-password'), 'mounted\n')
    expect(revealed(await read('', env))).toEqual(['admin', 'mounted'])
    expect(revealed(await read('', { ...env, basic_auth: 'false' }))).toBeUndefined()
    const explicit = { ...env, HUB_GATEWAY_AUTH_USERNAME: 'me', HUB_GATEWAY_AUTH_PASSWORD: 'mine' }
    expect(revealed(await read('', explicit))).toEqual(['me', 'mine'])
  })

  test('of OpenFaaS that cannot be read are a finding, not a crash', async () => {
    const mount = join(folder, 'folders')
    mkdirSync(join(mount, 'basic-auth-user'), { recursive: true })
    mkdirSync(join(mount, 'basic-auth-password'))
    expect(await findings('', { basic_auth: '1', secret_mount_path: mount })).toEqual([
      expect.stringContaining('gateway.auth cannot be read: EISDIR') as string,
    ])
  })

  test('that are half there are refused', async () => {
    expect(await findings('gateway:\n  auth: { username: admin }')).toEqual([
      '2:3 gateway.auth needs both username and password (or their twins ending in File)',
    ])
  })
})

describe('what is wrong is named with its place and its fix', () => {
  test.for([
    ['gatway: {}', '1:1 gatway is not a known key; did you mean gateway?'],
    ['gateway:\n  url: "ftp://gateway"', '2:3 gateway.url must be a URL that starts with http://, https://'],
    ['defaults: { timeout: 60 }', '1:13 defaults.timeout needs a unit: write "60s" or "60ms"'],
    ['defaults: { mode: snyc }', '1:13 defaults.mode must be one of sync, async; did you mean sync?'],
    ['defaults: { concurrency: 0 }', '1:13 defaults.concurrency must be at least 1'],
    ['defaults: { retry: { codes: [429, abc] } }', '1:22 defaults.retry.codes.1 holds "abc", which is not an HTTP status from 100 to 599'],
    ['defaults: { retry: { codes: "600" } }', '1:22 defaults.retry.codes.0 holds 600, which is not an HTTP status from 100 to 599'],
    ['defaults: { retry: { codes: [] } }', '1:22 defaults.retry.codes holds no status'],
    ['defaults: fast', '1:1 defaults must be a mapping'],
    ['admin: { port: 70000 }', '1:10 admin.port must be at most 65535'],
    ['connectors: [mqtt]', '1:1 connectors must be a mapping of instance names'],
    ['connectors:\n  MQ: { type: mqtt }', '2:3 connectors.MQ must be a lower-case name of letters, digits and -'],
    ['connectors:\n  admin: { type: mqtt }', '2:3 connectors.admin must be another name: HUB_ADMIN_… in the environment are keys of the hub itself'],
    ['connectors:\n  gateway-auth: { type: mqtt }', '2:3 connectors.gateway-auth must be another name: HUB_GATEWAY_… in the environment are keys of the hub itself'],
    ['connectors:\n  mq: mqtt', '2:3 connectors.mq must be a mapping with at least a type'],
    ['connectors:\n  mq: { qos: 1 }', '2:3 connectors.mq.type is required: the connector, a name from `connector-hub list`'],
    ['connectors:\n  mq: { type: mqtt, qs: 1 }', '2:21 connectors.mq.qs is not a known key; did you mean qos?'],
  ] as const)('%s', async ([text, expected]) => {
    expect(await findings(text)).toEqual([expected])
  }) // prettier-ignore

  test('an unknown connector names the nearest one, a path what is missing', async () => {
    const [unknown] = await findings('connectors:\n  mq: { type: mqt }')
    expect(unknown).toContain('2:9 connectors.mq.type is not usable: there is no connector "mqt". Did you mean mqtt?')
    const [path] = await findings('connectors:\n  mq: { type: ./nowhere.ts }')
    expect(path).toContain('connectors.mq.type is not usable: connector "./nowhere.ts" cannot be loaded')
  })

  test('everything at once, and the file is named', async () => {
    const path = file('defaults: { mode: snyc }\nadmin: { port: -1 }\nconnectors:\n  mq: { type: mqtt, url: 5 }\n')
    const error: unknown = await readHubConfig({ file: path, env: {} }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(HubError)
    const { code, message } = error as HubError
    expect(code).toBe('HUB_CONFIG_INVALID')
    for (const at of [`${path}:1:13: defaults.mode`, `${path}:2:10: admin.port`, `${path}:4:21: connectors.mq.url`])
      expect(message).toContain(at)
  })

  test('in keys that do not fit together, before anything is connected', async () => {
    const text = 'connectors:\n  events:\n    type: kafka\n    tls:\n      certFile: /c.pem\n'
    expect(await findings(text)).toEqual([
      '4:5 connectors.events.tls has one of certFile and keyFile, which belong together. Set both for a certificate, or neither.',
    ])
  })

  test('in more namespaces than a watcher reads one by one', async () => {
    const named = (count: number, more: readonly string[] = []): string => JSON.stringify([...Array.from({ length: count }, (_, index) => `team-${index}`), ...more]) // prettier-ignore
    const yaml = (discovery: string, namespaces: string): string => `discovery: ${discovery}\ngateway: { namespaces: ${namespaces} }\n` // prettier-ignore
    expect(await findings(yaml('kubernetes', named(61)))).toEqual([
      '2:12 gateway.namespaces names 61 namespaces, and at most 60 can be watched one by one. Use a glob such as team-*, which watches the whole cluster and needs a ClusterRole.',
    ])
    expect(await findings(yaml('kubernetes+gateway', named(61)))).toHaveLength(1)
    expect(await findings(yaml('kubernetes', named(60, ['team-0'])))).toEqual([])
    expect(await findings(yaml('kubernetes', named(61, ['a*'])))).toEqual([])
    expect(await findings(yaml('gateway', named(61)))).toEqual([])
  })

  test('not in secret files that lint leaves unread', async () => {
    const login = 'usernameFile: /none/user, passwordFile: /none/password, saslMechanism: plain'
    const hooks = ['github', 'standard', 'hmac'].map((scheme) => `{ name: ${scheme}, scheme: ${scheme}, secretFile: /none/secret }`) // prettier-ignore
    const path = file(`connectors:\n  events: { type: kafka, ${login} }\n  hooks: { type: webhook, hooks: [${hooks.join(', ')}] }\n`) // prettier-ignore
    expect((await checkHubConfig({ file: path, env: {}, readSecretFiles: false })).findings).toEqual([])
  })

  test('in the environment, with the names of the key and of the variable', async () => {
    const { findings: found } = await checkHubConfig({ env: { upstream_timeout: 'soon', HUB_ADMIN_PORT: 'http' } })
    expect(found.map(problemText)).toEqual([
      'defaults.timeout (upstream_timeout) must be a duration such as "30s" or "1m30s"',
      'admin.port (HUB_ADMIN_PORT) must be a whole number',
    ])
  })

  test.for([
    ['not YAML', 'gateway: {', 'HUB_CONFIG_UNREADABLE'],
    ['a list', '- gateway', 'HUB_CONFIG_UNREADABLE'],
    ['a number', '7', 'HUB_CONFIG_UNREADABLE'],
    ['of an alias without its anchor', 'gateway: *nope', 'HUB_CONFIG_UNREADABLE'],
    [
      'of two instances with one name',
      'connectors:\n  mq: { type: mqtt }\n  mq: { type: cron }',
      'HUB_CONFIG_UNREADABLE',
    ],
  ] as const)('a file that is %s', async ([, text, code]) => {
    await expect(read(text)).rejects.toMatchObject({ code })
  })

  test('a file that is not there, or a folder', async () => {
    for (const path of [join(folder, 'missing.yaml'), folder])
      await expect(readHubConfig({ file: path, env: {} })).rejects.toMatchObject({
        code: 'HUB_CONFIG_UNREADABLE',
        message: expect.stringContaining(path) as string,
      })
  })

  test('an empty file is a configuration', async () => {
    expect((await read('')).instances).toEqual([])
    expect((await read('# nothing\ngateway:\n')).settings.gateway.url).toBe('http://127.0.0.1:8080')
  })

  test('no secret is ever in a message', async () => {
    const text = 'connectors:\n  mq: { type: mqtt, password: hunter2, qos: 9, url: "http://user:hunter2@broker" }'
    expect((await findings(text)).join('\n')).not.toContain('hunter2')
    const { instances } = await read('connectors:\n  mq: { type: mqtt, password: hunter2 }')
    expect(JSON.stringify(instances)).not.toContain('hunter2')
  })
})

test.for(builtInTypes())('%s has no field by the name of one that every instance has', async (type) => {
  const { fields } = await loadManifest(type)
  expect(Object.keys(fields).filter((name) => name in instanceFields)).toEqual([])
})
