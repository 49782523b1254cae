// What the image, the compose file and the overlays are made of, as far as it can be seen without an engine or a cluster.

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { load } from 'js-yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { checkHubConfig, readHubConfig } from '../../src/hub/config.ts'
import { builtInTypes } from '../../src/hub/registry.ts'
import { World } from '../cli/world.ts'
import { DEPLOY } from './chart-keys.ts'

const ROOT = join(DEPLOY, '..')
const DOCKERFILE = readFileSync(join(DEPLOY, 'Dockerfile'), 'utf8')
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string }

/** Of the Dockerfile, continued lines as one. */
function instructions(word: string): readonly string[] {
  const lines = DOCKERFILE.replaceAll(/ *\\\n */g, ' ').split('\n')
  return lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1))
}

describe('the image', () => {
  test('is built from what is there, and what .dockerignore lets through', () => {
    const sources = instructions('COPY').flatMap((line) => line.startsWith('--from') ? [] : line.split(' ').slice(0, -1)) // prettier-ignore
    const allowed = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1)) // prettier-ignore
    expect(new Set(sources)).toEqual(new Set(allowed))
    expect([...new Set(sources)].filter((source) => !existsSync(join(ROOT, source)))).toEqual([])
  })

  test('has a tag for its base, the same for all of its stages, of the Node that the package asks for', () => {
    expect(instructions('ARG')).toEqual(['NODE_IMAGE=node:24-bookworm-slim'])
    expect(instructions('FROM').map((line) => line.split(' ')[0])).toEqual(['${NODE_IMAGE}', '${NODE_IMAGE}', '${NODE_IMAGE}'])
    const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { engines: { node: string } }
    expect(engines.node).toMatch(/^>=24\b/)
  }) // prettier-ignore

  test('takes production modules only, and runs as nobody in particular', () => {
    const final = DOCKERFILE.slice(DOCKERFILE.lastIndexOf('\nFROM '))
    expect(final).toContain('COPY --from=modules /modules/node_modules node_modules\n')
    expect(instructions('RUN').find((line) => line.startsWith('npm ci --omit=dev'))).toBeDefined()
    expect(instructions('USER')).toEqual(['10001:0'])
    expect(final).toContain('\nENTRYPOINT ["node", "/app/dist/src/cli/main.js"]\n')
  })
})

interface Compose {
  readonly services: Readonly<Record<string, { readonly '<<'?: { readonly image: string; readonly stop_grace_period?: string }; readonly command: readonly string[]; readonly environment?: Readonly<Record<string, string>> }>>
  readonly configs: { readonly stack: { readonly content: string } }
} // prettier-ignore

describe('the compose file', () => {
  let world: World
  beforeAll(async () => void (world = await World.start()))
  afterAll(() => world[Symbol.asyncDispose]())

  const compose = load(readFileSync(join(DEPLOY, 'compose.yaml'), 'utf8')) as Compose

  test('runs the version that is built', () => {
    const { hub, gateway } = compose.services
    expect([hub?.['<<']?.image, gateway?.['<<']?.image]).toEqual([`connector-hub:${version}`, `connector-hub:${version}`]) // prettier-ignore
  })

  test('configures the hub by its environment, for the broker and the gateway beside it', async () => {
    const { command = [], environment = {} } = compose.services['hub'] ?? {}
    const { settings, instances } = await readHubConfig({ env: environment, types: command.slice(1) })
    expect([command[0], settings.gateway.url, settings.log.printResponse]).toEqual(['run', 'http://gateway:8080', true])
    expect(instances.map(({ name, source }) => [name, source['url']])).toEqual([['mqtt', 'mqtt://mqtt:1883'], ['cron', undefined]]) // prettier-ignore
  })

  test('has functions that the hub wires without a finding', async () => {
    world.file('stack.yaml', compose.configs.stack.content)
    const [code, said] = await world.run('connector-hub plan --stack stack.yaml --strict', { says: /words\/#/ })
    expect([code, said]).toEqual([0, expect.stringMatching(/words\/# +count[^]*@every 10s/)])
  })

  test('gives hub and gateway the time to let what runs end that they take by themselves', async () => {
    const { settings } = await readHubConfig({ env: {}, types: ['cron'] })
    const [, said] = await world.run('connector-hub gateway --help', { says: /--drain-timeout/ })
    const [, gatewayMs = 0] =
      /--drain-timeout[^]*?default: "(\d+)s"/.exec(said)?.map((text) => Number(text) * 1000) ?? []
    const graceMs = (service: string): number => Number.parseInt(compose.services[service]?.['<<']?.stop_grace_period ?? '10s', 10) * 1000 // prettier-ignore
    expect([settings.drainTimeout, gatewayMs]).toEqual([25_000, 25_000])
    expect([graceMs('hub'), graceMs('gateway')].filter((ms) => ms <= 25_000)).toEqual([])
  })

  test('starts its gateway with options that there are', async () => {
    const { command = [] } = compose.services['gateway'] ?? {}
    const [code, said] = await world.run('connector-hub gateway --help', { says: /--stack/ })
    expect([command[0], code]).toEqual(['gateway', 0])
    expect(command.filter((word) => word.startsWith('--') && !said.includes(`${word} <`))).toEqual([])
  })
})

describe('the overlays', () => {
  const folder = join(DEPLOY, 'kustomize/overlays')

  test('there is one for each connector', () => {
    expect(readdirSync(folder).toSorted()).toEqual([...builtInTypes()])
  })

  test.each(builtInTypes())('the hub reads the hub.yaml of %s, which keeps its promises in a pod', async (type) => {
    const checked = await checkHubConfig({ file: join(folder, type, 'hub.yaml'), env: {}, readSecretFiles: false })
    expect(checked.findings).toEqual([])
    const [instance] = checked.config?.instances ?? []
    expect([instance?.name, checked.config?.settings.stateDir]).toEqual([type, '/var/lib/connector-hub'])
    const { components = [], images } = load(readFileSync(join(folder, type, 'kustomization.yaml'), 'utf8')) as { components?: string[]; images: unknown } // prettier-ignore
    const keepsLetters = instance?.terms.capabilities.reject === 'hub'
    expect(components).toEqual(keepsLetters ? ['../../components/volume'] : [])
    expect(images).toEqual([{ name: 'connector-hub', newName: 'connector-hub', newTag: version }])
  })
})
