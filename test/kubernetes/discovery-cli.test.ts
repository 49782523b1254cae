// Commands and a running hub on a cluster's functions, as processes with a kubeconfig, against a real API server.

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

import { EXIT } from '../../src/cli/output.ts'
import { CliProcess } from '../cli/cli.ts'
import type { Ended } from '../cli/cli.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { READS, WAIT, annotate, deployment, deployments, functionResource, functions } from './discovery-rig.ts'

const missing = await noKubernetes()

describe.skipIf(missing !== undefined)(`commands on a cluster${missing === undefined ? '' : ` (${missing})`}`, () => {
  let api: KubernetesApi
  let folder: string
  let gateway: Server
  let gatewayUrl: string
  /** Paths of calls. */
  const calls: string[] = []
  /** What the gateway lists. */
  let listed: readonly unknown[] = []
  let namespace: string
  let granted: string
  let token: string

  beforeAll(async () => {
    api = sharedKubernetes()
    await api.installFunctionCrd()
    folder = mkdtempSync(join(tmpdir(), 'hub-cluster-cli-'))
    gateway = createServer((request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? ''
      request.resume()
      if (path === '/system/namespaces') response.end(JSON.stringify([namespace]))
      else if (path === '/system/functions') response.end(JSON.stringify(listed))
      else {
        if (path.startsWith('/function/')) calls.push(path)
        response.end('done')
      }
    })
    gateway.listen(0, '127.0.0.1')
    await once(gateway, 'listening')
    gatewayUrl = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    api[Symbol.dispose]()
    gateway.closeAllConnections()
    gateway.close()
    await once(gateway, 'close')
    rmSync(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    calls.length = 0
    namespace = await api.createNamespace()
    token = await api.serviceAccountToken(namespace, 'hub')
    granted = await api.grant(namespace, 'hub', READS)
    await api.json('POST', deployments(namespace), deployment('tick', { 'com.openfaas.schedule': '@every 1s' }))
    await api.json('POST', functions(namespace), functionResource('orders', { topic: 'orders/#' }))
    listed = [{ name: 'tick', annotations: { 'com.openfaas.schedule': '@every 1s' } }, { name: 'orders', annotations: { topic: 'orders/#' } }] // prettier-ignore
  })

  function configFile(more: Readonly<Record<string, unknown>> = {}): string {
    const path = join(folder, `${namespace}.yaml`)
    writeFileSync(
      path,
      JSON.stringify({
        gateway: { url: gatewayUrl, namespaces: [namespace] },
        kubernetes: { kubeconfig: api.kubeconfig(token, namespace) },
        connectors: { timers: { type: 'cron' } },
        stateDir: join(folder, `state-${namespace}`),
        admin: { host: '127.0.0.1', port: 0 },
        ...more,
      }),
    )
    return path
  }

  async function cli(...args: readonly string[]): Promise<Ended> {
    await using command = new CliProcess(args, { env: { HOME: folder } })
    return await command.ended()
  }

  interface Plan {
    readonly instances: readonly { readonly triggers: readonly { readonly function: string }[] }[]
    readonly findings: readonly { readonly code: string; readonly function: string }[]
  }

  test('plan lists what the cluster has', async () => {
    const { code, stdout, stderr } = await cli('plan', '--kubernetes', '-c', configFile(), '--json')
    expect([code, stderr]).toEqual([EXIT.ok, ''])
    const { instances } = JSON.parse(stdout) as Plan
    expect(instances[0]?.triggers.map((trigger) => trigger.function)).toEqual([`tick.${namespace}`])
  })

  test('plan takes the cluster from the configuration, and compares it with the gateway where that is asked', async () => {
    listed = [{ name: 'tick', annotations: {} }]
    const { stdout } = await cli('plan', '-c', configFile({ discovery: 'kubernetes+gateway' }), '--json')
    const { findings } = JSON.parse(stdout) as Plan
    expect(findings.filter(({ code }) => code === 'HUB_DISCOVERY_DIFFERS').map((finding) => finding.function)).toEqual([
      `orders.${namespace}`,
      `tick.${namespace}`,
    ])
  })

  test('explain says what of the cluster an event triggers', async () => {
    const config = configFile({ connectors: { mqtt: { type: 'mqtt', url: 'mqtt://localhost:1' } } })
    const { code, stdout } = await cli('explain', '--kubernetes', '-c', config, '--topic', 'orders/1', '--json')
    expect(code).toBe(EXIT.ok)
    expect(JSON.parse(stdout)).toMatchObject({ invoked: 1 })
  })

  test('a right that is missing ends a command with the Role that is needed', async () => {
    await api.revoke(namespace, granted)
    const { code, stderr } = await cli('plan', '--kubernetes', '-c', configFile())
    expect(code).toBe(EXIT.unreachable)
    expect(stderr).toMatch(/^HUB_KUBERNETES_FORBIDDEN: /)
    expect(stderr).toContain(`Grant the service account by a Role in namespace ${namespace}: apiGroups ["openfaas.com"], resources ["functions"], verbs ["list"]`) // prettier-ignore
  })

  test('doctor says who we are there and that each right is granted', async () => {
    const { code, stdout } = await cli('doctor', '--kubernetes', '-c', configFile())
    expect(stdout).toMatch(/^ok {7}kubernetes {6}https:\/\/127\.0\.0\.1:\d+ is v1\.35\.4, by context test of the kubeconfig\.$/m) // prettier-ignore
    expect(stdout).toContain(`may list and watch functions in ${namespace}.`)
    expect(stdout).toContain(`may list and watch deployments in ${namespace}.`)
    expect(stdout).toContain('Function resources are installed, and read beside the Deployments.')
    expect(stdout).toMatch(/^ok {7}gateway .*answers 200\.$/m)
    expect(stdout).toMatch(/^ok {7}kubernetes {6}the cluster: 2 functions, 1 trigger\.$/m)
    expect(code).toBe(EXIT.ok)
  })

  test('doctor names each right that is missing', async () => {
    await api.revoke(namespace, granted)
    await api.grant(namespace, 'hub', [{ apiGroups: ['apps'], resources: ['deployments'], verbs: ['list'] }])
    const { code, stdout } = await cli('doctor', '--kubernetes', '-c', configFile(), '--json')
    expect(code).toBe(EXIT.problems)
    const { checks } = JSON.parse(stdout) as { checks: { subject: string; outcome: string; detail: string; fix?: string }[] } // prettier-ignore
    const failed = checks.filter(({ outcome, detail }) => outcome === 'failed' && detail.startsWith('must not'))
    expect(failed.map(({ detail }) => detail)).toEqual([
      `must not list and watch functions in ${namespace}`,
      `must not watch deployments in ${namespace}`,
    ])
    expect(failed[1]?.fix).toBe(`Grant the service account by a Role in namespace ${namespace}: apiGroups ["apps"], resources ["deployments"], verbs ["watch"].`) // prettier-ignore
  })

  test('a cluster that cannot be reached is that, for doctor and for plan', async () => {
    const kubeconfig = join(folder, 'nowhere')
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        'current-context': 'a',
        clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
        users: [{ name: 'u', user: { token: 's3cret' } }],
        contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
      }),
    )
    const config = configFile({ kubernetes: { kubeconfig } })
    const doctor = await cli('doctor', '--kubernetes', '-c', config)
    expect([doctor.code, doctor.stdout.includes('HUB_KUBERNETES_UNREACHABLE')]).toEqual([EXIT.unreachable, true])
    const plan = await cli('plan', '--kubernetes', '-c', config)
    expect([plan.code, plan.stderr.startsWith('HUB_KUBERNETES_UNREACHABLE')]).toEqual([EXIT.unreachable, true])
    expect(doctor.stdout + doctor.stderr + plan.stderr).not.toContain('s3cret')
  })

  test('a hub that compares wires by the cluster, and says what the gateway does not know', async () => {
    listed = [{ name: 'tick', annotations: { 'com.openfaas.schedule': '@every 1s' } }]
    const compared = { discovery: 'kubernetes+gateway', gateway: { url: gatewayUrl, namespaces: [namespace], rebuildInterval: '200ms' } } // prettier-ignore
    await using hub = new CliProcess(['run', '-c', configFile(compared), '--json'], { env: { HOME: folder } })
    await hub.says(/Wired 1 triggers of 2 functions/)
    await hub.says(new RegExp(`"code":"HUB_DISCOVERY_DIFFERS","function":"orders\\.${namespace}"`))
    await vi.waitFor(() => expect(calls).toContain(`/function/tick.${namespace}`), WAIT)
    expect(hub.stderr).not.toContain(`"function":"tick.${namespace}","annotation"`)
  })

  test('a hub calls what the cluster has, says its state, and follows changes', async () => {
    await using hub = new CliProcess(['run', '-c', configFile({ discovery: 'kubernetes' }), '--json'], { env: { HOME: folder } }) // prettier-ignore
    const [, admin = ''] = await hub.says(/Health and metrics at (http:\/\/[\d.:]+)/)
    await vi.waitFor(() => expect(calls).toContain(`/function/tick.${namespace}`), WAIT)
    await vi.waitFor(async () => expect((await fetch(`${admin}/readyz`)).status).toBe(200), WAIT)
    const ready = (await (await fetch(`${admin}/readyz`)).json()) as { readonly discovery: unknown }
    expect(ready.discovery).toMatchObject({ functions: 2, lastGoodAtMs: expect.any(Number) as number })
    expect(await (await fetch(`${admin}/metrics`)).text()).toMatch(/^connector_hub_discovery_age_seconds [\d.e-]+$/m)
    await annotate(api, namespace, 'tick', { 'com.openfaas.schedule': '0 0 1 1 *' })
    await hub.says(/1 added, 1 removed/)
    await api.json('DELETE', deployments(namespace, 'tick'))
    await hub.says(/Wired 0 triggers of 1 functions/)
    hub.signal('SIGTERM')
    expect((await hub.ended()).code).toBe(EXIT.ok)
  })
})
