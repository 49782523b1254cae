// What becomes of a stack file and of the code it names while `gateway` and `dev` run, and what of it has an effect here.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { CliProcess, cli } from './cli.ts'

/** Files of a user in a folder of their own. */
class Project implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'hub-stack-'))

  constructor(files: Readonly<Record<string, string>>) {
    for (const [name, text] of Object.entries(files)) this.write(name, text)
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true })
    writeFileSync(join(this.folder, name), text)
  }

  start(command: string, ...args: readonly string[]): CliProcess {
    return new CliProcess([command, ...args, '--port', '0'], { cwd: this.folder, env: { GREETING: 'hello' } })
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function addressOf(running: CliProcess): Promise<string> {
  const [, url = ''] = await running.says(/gateway +(http:\/\/127\.0\.0\.1:\d+)/)
  return url
}

async function call(url: string, name: string): Promise<string> {
  const answer = await fetch(`${url}/function/${name}`, { method: 'POST', body: '' })
  return `${answer.status} ${(await answer.text()).trim()}`
}

async function names(url: string, namespace = 'openfaas-fn'): Promise<readonly string[]> {
  const listed = (await (await fetch(`${url}/system/functions?namespace=${namespace}`)).json()) as { name: string }[]
  return listed.map(({ name }) => name).toSorted()
}

const says = (text: string): string => `module.exports = async () => '${text}'`
const NODE = '{"type":"commonjs"}'

describe('gateway --stack', () => {
  test('follows the stack file, what it includes and the code of its functions, and loses no call by it', async () => {
    using project = new Project({
      'stack.yaml':
        'functions:\n  say:\n    lang: node22\n    handler: ./say\n    environment_file: [env.yaml]\n' +
        '  word:\n    fprocess: printenv WORD\n    handler: .\n    environment: { WORD: "${GREETING:-unset}" }\n    environment_file: [env.yaml]\n' +
        '  kept: { fprocess: cat, handler: . }\n',
      'env.yaml': 'environment: { OTHER: a }\n',
      'say/package.json': NODE,
      'say/handler.js': says('one'),
    })
    await using gateway = project.start('gateway', '--stack', 'stack.yaml')
    const url = await addressOf(gateway)
    expect(await call(url, 'say')).toBe('200 one')
    expect(await call(url, 'word')).toBe('200 hello')
    // Of a client, not of the file.
    const own = { service: 'own', image: 'local/own', envProcess: 'cat' }
    expect((await fetch(`${url}/system/functions`, { method: 'POST', body: JSON.stringify(own) })).status).toBe(202)
    const instead = { service: 'kept', image: 'local/kept', envProcess: 'wc -c' }
    expect((await fetch(`${url}/system/functions`, { method: 'PUT', body: JSON.stringify(instead) })).status).toBe(202)
    expect(await call(url, 'kept')).toBe('200 0')

    // Somebody calls on and on while all of this happens.
    const answers = new Set<string>()
    const over = new AbortController()
    const calling = (async () => {
      while (!over.signal.aborted) answers.add(await call(url, 'say'))
    })()
    project.write('say/handler.js', says('two'))
    await gateway.says(/│ say: handler\.js changed: the new code runs/)
    expect(await call(url, 'say')).toBe('200 two')

    project.write('say/handler.js', `module.exports = async () => 'thr`)
    await gateway.says(/│ say: handler\.js changed and does not load: the code from before runs on/)
    expect(await call(url, 'say')).toBe('200 two')

    project.write('say/handler.js', says('three'))
    await expect.poll(() => call(url, 'say')).toBe('200 three')

    // A deployment of what does not load would show that at once: it comes after the mend.
    project.write('env.yaml', 'environment: { OTHER: a, WORD: from the file }\n')
    await expect.poll(() => call(url, 'word')).toBe('200 from the file')
    // Of this one the files say nothing new.
    expect(await call(url, 'kept')).toBe('200 0')
    over.abort()
    await calling
    expect([...answers].toSorted()).toEqual(['200 one', '200 three', '200 two'])

    project.write('stack.yaml', 'functions:\n  late:\n    fprocess: cat\n    handler: .\n    namespace: shop\n')
    await expect.poll(() => names(url, 'shop')).toEqual(['late'])
    await expect.poll(() => names(url)).toEqual(['kept', 'own'])
    expect(await (await fetch(`${url}/system/namespaces`)).json()).toEqual(['openfaas-fn', 'shop'])
    expect(await call(url, 'late.shop')).toBe('200 ')

    project.write('stack.yaml', 'functions: {')
    await gateway.says(/HUB_CONFIG_UNREADABLE.*stack\.yaml:1:13.*; what was deployed before stays/)
    expect(await names(url, 'shop')).toEqual(['late'])
    project.write('stack.yaml', 'functions:\n  again:\n    fprocess: cat\n    handler: .\n')
    await gateway.says(/the stack files can be read again/)
    await expect.poll(() => names(url)).toEqual(['again', 'kept', 'own'])
    gateway.signal('SIGTERM')
    expect((await gateway.ended()).code).toBe(0)
  })

  test('--no-watch stays with what it has read', async () => {
    using project = new Project({
      'stack.yaml': 'functions:\n  say: { lang: node22, handler: ./say }\n',
      'say/package.json': NODE,
      'say/handler.js': says('one'),
    })
    await using still = project.start('gateway', '--stack', 'stack.yaml', '--no-watch')
    await using follows = project.start('gateway', '--stack', 'stack.yaml', '--state-dir', 'other')
    const [url, other] = [await addressOf(still), await addressOf(follows)]
    expect([await call(url, 'say'), await call(other, 'say')]).toEqual(['200 one', '200 one'])
    project.write('say/handler.js', says('two'))
    project.write(
      'stack.yaml',
      'functions:\n  say: { lang: node22, handler: ./say }\n  late: { fprocess: cat, handler: . }\n',
    )
    await expect.poll(() => call(other, 'say')).toBe('200 two')
    await expect.poll(() => names(other)).toEqual(['late', 'say'])
    expect([await call(url, 'say'), await names(url)]).toEqual(['200 one', ['say']])
  })

  test('without --stack reads none, and names the one that is there', async () => {
    using project = new Project({ 'stack.yml': 'functions:\n  kept: { fprocess: cat, handler: . }\n' })
    await using gateway = project.start('gateway')
    const url = await addressOf(gateway)
    expect(await names(url)).toEqual([])
    await gateway.says(/stack\.yml of this folder is not read: --stack stack\.yml runs its functions/)
  })

  test('gives functions their secrets from .secrets, and says which are missing or others', async () => {
    const stack =
      'functions:\n  tell:\n    fprocess: sh tell.sh\n    handler: .\n    secrets: [api-key, other, odd, ../up]\n'
    using project = new Project({
      'stack.yaml': stack,
      'tell.sh': 'cat "$secret_mount_path/api-key"\n',
      '.secrets/api-key': 'first value',
      '.secrets/odd/file': 'a folder is no secret',
      up: 'not a secret',
    })
    {
      await using gateway = project.start('gateway', '--stack', 'stack.yaml')
      const url = await addressOf(gateway)
      await gateway.says(
        /secret other of tell is missing: write it to .*\/\.secrets\/other, or make it with faas-cli secret create/,
      )
      await gateway.says(/the secret in .*\/\.secrets\/odd cannot be read: EISDIR/)
      await gateway.says(/secret \.\.\/up of tell is not made: it is no name of a secret/)
      expect(await call(url, 'tell')).toBe('200 first value')
      expect(await (await fetch(`${url}/system/secrets`)).json()).toEqual([
        { name: 'api-key', namespace: 'openfaas-fn' },
      ])
      expect(gateway.stdout + gateway.stderr).not.toContain('first value')
    }
    // The gateway has kept it.
    project.write('.secrets/api-key', 'second value')
    await using gateway = project.start('gateway', '--stack', 'stack.yaml')
    const url = await addressOf(gateway)
    await gateway.says(
      /secret api-key of namespace openfaas-fn stays what the gateway has kept, which is not what .*\/\.secrets\/api-key says/,
    )
    expect(await call(url, 'tell')).toBe('200 first value')
    expect(gateway.stdout + gateway.stderr).not.toMatch(/first value|second value/)
  })

  test('follows the files of secrets: one that comes, one that changes, and not one that a client has changed', async () => {
    using project = new Project({
      'stack.yaml': 'functions:\n  tell:\n    fprocess: sh tell.sh\n    handler: .\n    secrets: [api-key]\n',
      'tell.sh': 'cat "$secret_mount_path/api-key" 2>/dev/null || echo none\n',
    })
    await using gateway = project.start('gateway', '--stack', 'stack.yaml')
    const url = await addressOf(gateway)
    await gateway.says(/secret api-key of tell is missing/)
    expect(await call(url, 'tell')).toBe('200 none')
    const poll = { timeout: 60_000 }
    project.write('.secrets/api-key', 'first value')
    await expect.poll(() => call(url, 'tell'), poll).toBe('200 first value')
    project.write('.secrets/api-key', 'another value')
    await gateway.says(/secret api-key of namespace openfaas-fn is now what .*\/\.secrets\/api-key says/)
    expect(await call(url, 'tell')).toBe('200 another value')
    const body = JSON.stringify({ name: 'api-key', value: "a client's" })
    expect((await fetch(`${url}/system/secrets`, { method: 'PUT', body })).status).toBe(202)
    project.write('.secrets/api-key', 'a third value')
    await gateway.says(/secret api-key of namespace openfaas-fn stays what the gateway has kept/)
    expect(await call(url, 'tell')).toBe("200 a client's")
    expect(gateway.stdout + gateway.stderr).not.toMatch(/first value|another value|third value|client's/)
  })

  test('shows what a stack file says, and says once what has no effect without containers', async () => {
    using project = new Project({
      'stack.yaml': `
configuration: { copy: [./shared] }
functions:
  a:
    image: registry.example/a:1
    fprocess: cat
    handler: .
    labels: { tier: front }
    annotations: { note: "1" }
    constraints: ["node=gpu"]
    limits: { memory: 40Mi, cpu: 100m }
    requests: { memory: 20Mi }
    readonly_root_filesystem: true
  b: { fprocess: cat, handler: ., limits: { memory: 1Gi }, colour: red }
`,
    })
    await using gateway = project.start('gateway', '--stack', 'stack.yaml')
    const url = await addressOf(gateway)
    const [a] = (await (await fetch(`${url}/system/functions`)).json()) as Record<string, unknown>[]
    expect(a).toMatchObject({
      name: 'a',
      image: 'registry.example/a:1',
      envProcess: 'cat',
      labels: { tier: 'front' },
      annotations: { note: '1' },
      constraints: ['node=gpu'],
      limits: { memory: '40Mi', cpu: '100m' },
      requests: { memory: '20Mi' },
      readOnlyRootFilesystem: true,
    })
    await gateway.says(/stack\.yaml:\d+:\d+: warning HUB_CONFIG_INVALID: .*colour is not a known key and has no effect/)
    gateway.signal('SIGINT')
    const { code, stderr } = await gateway.ended()
    expect(code).toBe(130)
    const said = stderr.split('\n').filter((line) => line.includes('no effect here'))
    expect(said).toEqual([
      'warning  no effect here have limits of a, b; constraints of a; readonly_root_filesystem of a; configuration.copy of a, b: functions run as processes of this machine, not in containers.',
    ])
  })

  test('--filter and --regex choose functions; a choice of none is an error that names what there is', async () => {
    using project = new Project({
      'stack.yaml': 'functions:\n  api-a: { fprocess: cat, handler: . }\n  api-b: { fprocess: cat, handler: . }\n  web: { fprocess: cat, handler: . }\n', // prettier-ignore
    })
    await using gateway = project.start('gateway', '--stack', 'stack.yaml', '--filter', 'api-*')
    const url = await addressOf(gateway)
    expect(await names(url)).toEqual(['api-a', 'api-b'])
    project.write(
      'stack.yaml',
      'functions:\n  api-c: { fprocess: cat, handler: . }\n  web: { fprocess: cat, handler: . }\n',
    )
    await expect.poll(() => names(url)).toEqual(['api-c'])
    const { code, stderr } = await cli(['gateway', '--stack', 'stack.yaml', '--regex', '^x', '--port', '0'], { cwd: project.folder }) // prettier-ignore
    expect([code, stderr]).toEqual([2, 'HUB_USAGE: no function of the stack files is chosen by --filter or --regex. There are api-c, web.\n']) // prettier-ignore
  })
})

describe('dev', () => {
  test('follows the code of functions, too, and wires only what is chosen', async () => {
    using project = new Project({
      'stack.yaml':
        'functions:\n  say: { lang: node22, handler: ./say, annotations: { topic: a } }\n  web: { fprocess: cat, handler: . }\n',
      'say/package.json': NODE,
      'say/handler.js': says('one'),
    })
    await using dev = project.start('dev', '--filter', 's*', '--verbose')
    const url = await addressOf(dev)
    await dev.says(/Wired 1 trigger of 1 function\n/)
    expect(await call(url, 'say')).toBe('200 one')
    await dev.says(/Forwarded \[POST\] to \/function\/say - \[200\]/)
    project.write('say/handler.js', says('two'))
    await expect.poll(() => call(url, 'say')).toBe('200 two')
    dev.signal('SIGTERM')
    expect((await dev.ended()).code).toBe(0)
  })
})
