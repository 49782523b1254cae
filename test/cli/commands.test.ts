// Commands that come to an end by themselves.

import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, describe, expect, test } from 'vitest'

import { builtInTypes } from '../../src/hub/registry.ts'
import { FakeGateway, status } from '../discovery/fake-gateway.ts'
import { QUICKSTART, cli } from './cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const here = { cwd: folder }
const ESCAPE = String.fromCharCode(27)

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const EXIT = { ok: 0, problems: 1, usage: 2, unreachable: 3 } as const

test('--version is that of package.json', async () => {
  const { stdout } = await cli(['--version'])
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
})

describe('create', () => {
  test.for(builtInTypes())('%s: what it writes is a configuration with nothing to correct', async (type) => {
    const dir = join(folder, `create-${type}`)
    const { code, stdout } = await cli(['create', type, '--dir', dir])
    expect([code, stdout.split('\n').slice(0, 2)]).toEqual([EXIT.ok, [join(dir, 'hub.yaml'), join(dir, 'stack.yaml')]])
    const lint = await cli(['lint', '-c', join(dir, 'hub.yaml'), '--stack', join(dir, 'stack.yaml')])
    expect([lint.code, lint.stdout]).toEqual([EXIT.ok, 'ok: nothing to correct\n'])
    const again = await cli(['create', type, '--dir', dir])
    expect([again.code, again.stdout]).toEqual([EXIT.usage, ''])
    expect(again.stderr).toContain('is there already')
  })

  test('without a folder the files are shown', async () => {
    const { code, stdout } = await cli(['create', 'mqtt'])
    expect(code).toBe(EXIT.ok)
    expect(stdout).toMatch(/^# hub\.yaml\ngateway:[^]*\n# stack\.yaml\nprovider:/)
    expect((await cli(['create', 'mqt'])).stderr).toContain('Did you mean mqtt?')
    const { files } = JSON.parse((await cli(['create', 'mqtt', '--json'])).stdout) as { files: { name: string }[] }
    expect(files.map(({ name }) => name)).toEqual(['hub.yaml', 'stack.yaml'])
  })
})

describe.concurrent('what is wrong is said on standard error, with the fix and the exit code', () => {
  test.for([
    [['frobnicate'], EXIT.usage, "unknown command 'frobnicate'"],
    [['list', '--jsn'], EXIT.usage, 'Did you mean --json?'],
    [['cron', 'next'], EXIT.usage, "missing required argument 'expression'"],
    [['cron', 'next', '@every x'], EXIT.usage, 'HUB_SCHEDULE_INVALID'],
    [['cron', 'next', '@hourly', '--count', '0'], EXIT.usage, 'Write for example --count 5.'],
    [['cron', 'next', '@hourly', '--zone', 'Mars/X'], EXIT.usage, '"Mars/X" is not a time zone'],
    [['cron', 'next', '@hourly', '--from', 'tomorrow'], EXIT.usage, 'HUB_USAGE'],
    [['gateway', '--port', 'abc'], EXIT.usage, '--port abc is not a port'],
    [['gateway', '--port', '70000'], EXIT.usage, '--port 70000 is not a port'],
    [['dev'], EXIT.usage, 'there is no stack.yaml here. Name one:'],
    [['lint'], EXIT.usage, 'there is no hub.yaml and no stack.yaml here'],
    [['run'], EXIT.usage, 'no connector is configured. Name a connector whose settings are in the environment'],
    [['run', 'mqt'], EXIT.usage, 'Did you mean mqtt?'],
    [['run', '-c', 'missing.yaml'], EXIT.usage, 'missing.yaml: ENOENT'],
    [['plan', '--stack', 'missing.yaml'], EXIT.usage, 'missing.yaml: ENOENT'],
    [['plan', '--stack', '.'], EXIT.usage, 'EISDIR'],
    [['plan', '--gateway', 'nonsense'], EXIT.usage, 'gateway.url must be a URL'],
    [['plan', '--gateway', 'http://127.0.0.1:1'], EXIT.unreachable, 'ECONNREFUSED'],
  ] as const)('%j', async ([args, expected, text]) => {
    const { code, stdout, stderr } = await cli(args, { cwd: folder })
    expect([code, stdout]).toEqual([expected, ''])
    expect(stderr).toContain(text)
    expect(stderr).not.toMatch(/^\s+at /m)
  })

  test.for([
    ['garbage', 'functions: {', /:1:13: .* Correct the YAML there/],
    ['an empty file', '', /:1:1: a stack file is a mapping with the key functions/],
    ['a list', '- a', /:1:1: a stack file is a mapping/],
  ] as const)('a stack file that is %s', async ([name, text, expected]) => {
    const path = file(`${name.replace(' ', '-')}.yaml`, text)
    for (const command of [['plan', '--stack'], ['lint', '--stack'], ['dev']]) {
      const { code, stderr } = await cli([...command, path])
      expect([command[0], code]).toEqual([command[0], EXIT.usage])
      expect(stderr).toMatch(expected)
    }
  })

  test('a hub.yaml that is no YAML is named with its place, and without its content', async () => {
    const path = file('broken.yaml', 'connectors:\n  mq: { type: mqtt, password: "hunter2\n')
    const { code, stderr } = await cli(['run', '-c', path])
    expect(code).toBe(EXIT.usage)
    expect(stderr).toMatch(/broken\.yaml:\d+:\d+: /)
    expect(stderr).not.toContain('hunter2')
  })

  test('a port that is taken', async () => {
    const blocker = createTcpServer()
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
    const { port } = blocker.address() as AddressInfo
    const { code, stderr } = await cli(['gateway', '--port', String(port)], here)
    blocker.close()
    expect(code).toBe(EXIT.usage)
    expect(stderr).toContain(`HUB_GATEWAY_LISTEN: 127.0.0.1:${port}`)
    expect(stderr).toContain('Choose another port with --port')
  })
})

describe('plan', () => {
  test('of the quickstart names every trigger, filter and the next fires', async () => {
    const { code, stdout, stderr } = await cli(['plan', '--stack', QUICKSTART])
    expect([code, stderr]).toEqual([EXIT.ok, ''])
    expect(stdout).toMatch(/words\/#\s+count\s+sync\s+5 retries\s+size > 8/)
    expect(stdout).toMatch(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\s+tick\s+@every 3s/)
    expect(stdout).toContain('4 triggers of 4 functions, 0 findings')
    expect(stdout).not.toContain(ESCAPE)
  })

  test('topics of hooks and functions that miss each other are warnings, and an end with 1 where that is asked for', async () => {
    const hub = file('gaps.yaml', 'connectors:\n  in: { type: webhook, hooks: [{ name: github, scheme: none }, { name: gitlab, scheme: none }] }\n') // prettier-ignore
    const stack = file('gaps-stack.yaml', 'functions:\n  build:\n    annotations:\n      topic: githb:push, gitlab\n')
    const args = ['-c', hub, '--stack', stack]
    const { code, stdout } = await cli(['plan', ...args])
    expect(code).toBe(EXIT.ok)
    expect(stdout).toContain('gaps-stack.yaml:4:7: warning HUB_TOPIC_UNREAD: no event of githb:push arrives')
    expect(stdout).toContain('connectors.in: warning HUB_TOPIC_UNUSED: no function has the topic github;')
    for (const command of ['plan', 'lint']) expect((await cli([command, ...args, '--strict'])).code).toBe(EXIT.problems)
  })

  test('--json is one document', async () => {
    const { stdout } = await cli(['plan', '--stack', QUICKSTART, '--json'])
    expect(JSON.parse(stdout)).toMatchObject({
      functions: 4,
      triggers: 4,
      idle: [],
      findings: [],
      nextFires: [{ function: 'tick', schedule: '@every 3s' }],
    })
  })

  const FAULTS = `provider: { name: openfaas }
functions:
  good:
    lang: node22
    handler: ./good
    annotations: { topic: "orders, words/+" }
  empty:
    lang: node22
    handler: ./empty
    annotations:
      topic: ""
  spaces:
    lang: node22
    handler: ./spaces
    annotations:
      topic: "  a ,  , b "
  twice:
    lang: node22
    handler: ./twice
    annotations:
      topic: "a,b,a"
  hundred:
    lang: node22
    handler: ./hundred
    annotations:
      topic: "${Array.from({ length: 100 }, (_, index) => `many/${index}`).join(',')}"
  cron:
    lang: node22
    handler: ./cron
    annotations:
      topic: cron-function
      schedule: "99 * * * *; @hourly"
  filter:
    lang: node22
    handler: ./filter
    annotations:
      topic: "cron-function, a"
      schedule: "@daily"
      connector.filter: "size >"
  number:
    lang: node22
    handler: ./number
    annotations:
      topic: a
      connector.concurrency: many
`

  test('of faulty annotations keeps what is good and names the rest with its place', async () => {
    const path = file('faults.yaml', FAULTS)
    const { code, stdout } = await cli(['plan', '--stack', path, '--json'])
    expect(code).toBe(EXIT.problems)
    interface Plan {
      readonly instances: readonly { readonly name: string; readonly triggers: readonly { readonly pattern: string; readonly function: string }[] }[] // prettier-ignore
      readonly findings: readonly { readonly function: string; readonly annotation: string; readonly position: { readonly line: number } }[] // prettier-ignore
    }
    const { instances, findings } = JSON.parse(stdout) as Plan
    const of = (name: string): string[] =>
      instances.flatMap(({ triggers }) => triggers.filter((one) => one.function === name).map(({ pattern }) => pattern))
    expect(of('good')).toEqual(['orders', 'words/+'])
    expect(of('empty')).toEqual([])
    expect(of('spaces')).toEqual(['a', 'b'])
    expect(of('twice')).toEqual(['a', 'b'])
    expect(of('hundred')).toHaveLength(100)
    expect(of('cron')).toEqual(['@hourly'])
    expect(of('filter')).toEqual(['@daily'])
    expect(of('number')).toEqual(['a'])
    const named = findings.map((one) => `${one.position.line} ${one.function} ${one.annotation}`)
    for (const finding of [
      '11 empty topic',
      '21 twice topic',
      '32 cron schedule',
      '39 filter connector.filter',
      '45 number connector.concurrency',
    ])
      // prettier-ignore
      expect(named).toContain(finding)
    expect(findings.filter((one) => one.function === 'good' || one.function === 'hundred')).toEqual([])
  })

  test('lint names the same, and its exit code is that of the errors', async () => {
    const path = file('faults.yaml', FAULTS)
    const { code, stdout } = await cli(['lint', '--stack', path])
    expect(code).toBe(EXIT.problems)
    for (const at of ['11:7', '21:7', '32:7', '39:7', '45:7']) expect(stdout).toContain(`${path}:${at}: `)
    expect(stdout).toContain('"99 * * * *": the minute field "99" must be from 0 to 59')
    const { configuration, functions } = JSON.parse((await cli(['lint', '--stack', path, '--json'])).stdout) as Record<string, unknown[]> // prettier-ignore
    expect(configuration).toEqual([])
    expect(functions?.length).toBeGreaterThanOrEqual(5)
  })

  test('lint without options takes the files that are here', async () => {
    const place = join(folder, 'place')
    mkdirSync(place)
    writeFileSync(join(place, 'hub.yaml'), 'gatway: {}\n')
    const broken = await cli(['lint'], { cwd: place })
    expect([broken.code, broken.stdout]).toEqual([
      EXIT.problems,
      'hub.yaml:1:1: error HUB_CONFIG_INVALID: gatway is not a known key; did you mean gateway?\n',
    ])
    writeFileSync(join(place, 'hub.yaml'), 'connectors: { mq: { type: mqtt, passwordFile: /not/here } }\n')
    const fine = await cli(['lint'], { cwd: place })
    expect([fine.code, fine.stdout]).toEqual([EXIT.ok, 'ok: nothing to correct\n'])
  })
})

describe('plan of a gateway', () => {
  test('needs its credentials, and never shows them', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.credentials = 'admin:s3cret'
    gateway.namespaces = { 'openfaas-fn': [{ name: 'report', annotations: { topic: 'orders' } }] }
    const plan = (password: string): ReturnType<typeof cli> =>
      cli(['plan', '--gateway', gateway.url], {
        env: { HUB_GATEWAY_AUTH_USERNAME: 'admin', HUB_GATEWAY_AUTH_PASSWORD: password },
      })
    const good = await plan('s3cret')
    expect([good.code, good.stderr]).toEqual([EXIT.ok, ''])
    expect(good.stdout).toMatch(/orders\s+report\.openfaas-fn/)
    const bad = await plan('wr0ng')
    expect(bad.code).toBe(EXIT.unreachable)
    expect(bad.stderr).toContain('HUB_DISCOVERY_UNAUTHORIZED')
    expect(bad.stderr).toContain('gateway.auth')
    expect(good.stdout + bad.stderr).not.toMatch(/s3cret|wr0ng/)
  })

  test('the flag wins over the file', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.namespaces = { 'openfaas-fn': [{ name: 'report', annotations: { topic: 'orders' } }] }
    const path = file('elsewhere.yaml', 'gateway: { url: "http://127.0.0.1:1" }\nconnectors: { mq: { type: mqtt } }\n')
    const { code, stdout } = await cli(['plan', '-c', path, '--gateway', gateway.url])
    expect(code).toBe(EXIT.ok)
    expect(stdout).toContain('report.openfaas-fn')
  })

  test('cannot drive the terminal, whatever it answers', async () => {
    await using gateway = await new FakeGateway().listen()
    const evil = `${ESCAPE}[2J${ESCAPE}]0;owned\u0007`
    gateway.namespaces = {
      'openfaas-fn': [
        { name: 'report', annotations: { topic: `or${evil}ders`, 'connector.filter': `topic != "${evil}"` } },
        { name: `na${evil}me`, annotations: { topic: 'orders', [`connector.${evil}`]: evil } },
        { name: 'idle', annotations: { topic: '', 'connector.timeout': evil } },
      ],
    }
    const { stdout, stderr } = await cli(['plan', '--gateway', gateway.url])
    expect(stdout).toContain('report.openfaas-fn')
    for (const control of [ESCAPE, '\u0007']) expect(stdout + stderr).not.toContain(control)
    gateway.faults.set('*', status(500, evil))
    expect((await cli(['plan', '--gateway', gateway.url])).stderr).not.toContain(ESCAPE)
  })

  test('that answers HTML, or is no gateway, says so', async () => {
    await using gateway = await new FakeGateway().listen()
    gateway.faults.set('*', status(200, '<html>Sign in</html>'))
    const html = await cli(['plan', '--gateway', gateway.url])
    expect(html.code).toBe(EXIT.unreachable)
    expect(html.stderr).toContain('HUB_DISCOVERY_FAILED')
    expect(html.stderr).toContain('the answer is HTML')
    const other = createServer((_, response) => response.writeHead(404).end())
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const nothing = await cli(['plan', '--gateway', `http://127.0.0.1:${(other.address() as AddressInfo).port}`])
    other.close()
    expect(nothing.code).toBe(EXIT.unreachable)
    expect(nothing.stderr).toContain('404')
  })
})

describe('list and cron next', () => {
  test('list names every connector with its promise', async () => {
    const { code, stdout } = await cli(['list'])
    expect(code).toBe(EXIT.ok)
    expect(stdout).toMatch(/^mqtt\s+beta\s+at-least-once/m)
    const { connectors } = JSON.parse((await cli(['list', '--json'])).stdout) as { connectors: { name: string }[] }
    expect(connectors.map(({ name }) => name)).toContain('cron')
  })

  test('cron next marks what a change of clocks skips and repeats', async () => {
    const gap = await cli(['cron', 'next', '30 1 * * *', '--zone', 'Europe/London', '--from', '2026-03-27T00:00:00Z'])
    expect(gap.code).toBe(EXIT.ok)
    expect(gap.stdout).toContain('2026-03-28T01:30:00.000Z')
    expect(gap.stdout).toMatch(/skipped\s+2026-03-29 01:30:00/)
    expect(gap.stdout).toContain('2026-03-30T00:30:00.000Z')
    const overlap = await cli(['cron', 'next', 'CRON_TZ=Europe/London 30 1 * * *', '--from', '2026-10-24T12:00:00Z', '--count', '2', '--json']) // prettier-ignore
    const { fires } = JSON.parse(overlap.stdout) as { fires: { at: string }[] }
    expect(fires.map(({ at }) => at)).toEqual(['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z'])
  })
})
