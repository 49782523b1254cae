// `dry-run --kubernetes` as a process: which functions of a cluster an event at a real broker would invoke, for people and for
// programs. Real API server, real Mosquitto, and a gateway that must not be called.

import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { EXIT } from '../../src/cli/output.ts'
import { CliProcess } from '../cli/cli.ts'
import type { Ended } from '../cli/cli.ts'
import { HttpListener } from '../http-listener.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { noMosquitto, startMosquitto } from '../servers/mosquitto.ts'
import type { MosquittoServer } from '../servers/mosquitto.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { READS, deployment, deployments, functionResource, functions } from './discovery-rig.ts'

const missing = (await noKubernetes()) ?? noMosquitto()

describe.skipIf(missing !== undefined)(`dry-run on a cluster${missing === undefined ? '' : ` (${missing})`}`, () => {
  let api: KubernetesApi
  let broker: MosquittoServer
  let namespace: string
  let kubeconfig: string
  /** Requests to the gateway. */
  const asked: string[] = []
  const gateway = new HttpListener((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(500).end()
  })

  beforeAll(async () => {
    api = sharedKubernetes()
    await api.installFunctionCrd()
    broker = await startMosquitto({})
    await gateway.start()
    namespace = await api.createNamespace()
    const token = await api.serviceAccountToken(namespace, 'hub')
    await api.grant(namespace, 'hub', READS)
    kubeconfig = api.kubeconfig(token, namespace)
    await api.json('POST', deployments(namespace), deployment('billing', { topic: 'orders/#' }))
    await api.json('POST', functions(namespace), functionResource('audit', { topic: 'orders/eu', 'connector.filter': "topic == 'x'" })) // prettier-ignore
    await api.json('POST', deployments(namespace), deployment('idle', { topic: 'invoices' }))
  })
  afterAll(async () => {
    await gateway.stop()
    await broker[Symbol.asyncDispose]()
    api[Symbol.dispose]()
  })

  function configFile(folder: string, access: string): string {
    const path = join(folder, 'hub.yaml')
    const gatewayOf = { url: gateway.url, namespaces: [namespace] }
    const connectors = { mqtt: { type: 'mqtt', url: broker.url } }
    writeFileSync(path, JSON.stringify({ gateway: gatewayOf, kubernetes: { kubeconfig: access }, connectors }))
    return path
  }

  /** Ends with the first event, which is published once it looks. */
  async function dryRun(...args: readonly string[]): Promise<Ended> {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'hub-dry-run-'))
    const config = configFile(folder.path, kubeconfig)
    await using looking = new CliProcess(['dry-run', '--kubernetes', '-c', config, '--count', '1', '--for', '60s', ...args], { env: { HOME: folder.path } }) // prettier-ignore
    await looking.says(/copies, by subscriptions/)
    const client = await connectAsync(broker.url, { protocolVersion: 5 })
    await client.publishAsync('orders/eu', 'one order', { qos: 1 })
    await client.endAsync()
    return await looking.ended()
  }

  test('tells people what each function of the cluster would get', async () => {
    const { code, stdout, stderr } = await dryRun()
    expect(stdout).toMatch(/^mqtt {2}copies, by subscriptions of its own/)
    expect(stdout).toMatch(/^ {4}one order$/m)
    expect(stdout).toMatch(/^ {4}X-Topic: orders\/eu$/m)
    const verdicts = stdout.slice(stdout.indexOf('  audit.'))
    expect(verdicts.split('\n')).toEqual([
      `  audit.${namespace}  no   topic orders/eu matches, filter topic == 'x' is false`,
      `  billing.${namespace}  yes  topic orders/# (sync)`,
      `    POST ${gateway.url}/function/billing.${namespace}`,
      '',
      '1 event: 1 invocation of 1 function, 1 filtered, 0 without a function. Nothing was invoked.',
      '',
    ])
    expect(stderr).toMatch(/^caution {2}mqtt: Only what is published from now on is seen/)
    expect(code).toBe(EXIT.ok)
  })

  test('tells programs, an object a line', async () => {
    const { code, stdout, stderr } = await dryRun('--json')
    const lines = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>) // prettier-ignore
    expect(lines).toEqual([
      expect.objectContaining({ connector: 'mqtt' }),
      expect.objectContaining({
        connector: 'mqtt',
        topic: 'orders/eu',
        body: Buffer.from('one order').toString('base64'),
        functions: [
          {
            function: `audit.${namespace}`,
            verdict: 'filtered',
            patterns: ['orders/eu'],
            terms: [{ term: "topic == 'x'", verdict: { kind: 'fail' } }],
          },
          {
            function: `billing.${namespace}`,
            verdict: 'invoked',
            patterns: ['orders/#'],
            mode: 'sync',
            request: {
              method: 'POST',
              url: `${gateway.url}/function/billing.${namespace}`,
              headers: expect.objectContaining({ 'X-Topic': 'orders/eu', 'X-Connector': 'mqtt-connector' }) as unknown,
            },
          },
        ],
      }),
      { events: 1, invocations: 1, filtered: 1, unmatched: 0, functions: 1 },
    ])
    expect([code, stderr]).toEqual([EXIT.ok, ''])
  })

  test('asks the gateway for nothing', () => {
    expect(asked).toEqual([])
  })

  test('without the rights to list them says which are needed, and looks at no broker', async () => {
    const token = await api.serviceAccountToken(namespace, 'nobody')
    using folder = mkdtempDisposableSync(join(tmpdir(), 'hub-dry-run-'))
    const config = configFile(folder.path, api.kubeconfig(token, namespace))
    await using command = new CliProcess(['dry-run', '--kubernetes', '-c', config], { env: { HOME: folder.path } })
    const { code, stdout, stderr } = await command.ended()
    expect([code, stdout]).toEqual([EXIT.unreachable, ''])
    expect(stderr).toMatch(/^HUB_KUBERNETES_FORBIDDEN: /)
    expect(stderr).toContain(`Grant the service account by a Role in namespace ${namespace}: apiGroups ["openfaas.com"], resources ["functions"], verbs ["list"]`) // prettier-ignore
  })
})
