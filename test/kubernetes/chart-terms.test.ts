// What the chart refuses, and what it lets through, held against what the hub's own manifests promise.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { hubFields } from '../../src/hub/config-fields.ts'
import { builtInTypes } from '../../src/hub/registry.ts'
import { takesTurns } from '../../src/hub/turn-settings.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { hubYamlText, one, parsed, podOf, refusal, render, rendered } from './chart-rig.ts'
import type { Values } from './chart-rig.ts'

const missing = await noKubernetes()
const KEPT = { persistence: { enabled: true } } as const
const HOOKS = { config: { hooks: [{ name: 'any', scheme: 'none' }] } } as const

/** Every connector under every configuration that changes its terms. */
const ENTRIES: readonly (readonly [name: string, entry: Values])[] = [
  ['cron', { type: 'cron' }],
  ['kafka', { type: 'kafka' }],
  ['kafka-hub', { type: 'kafka', config: { deadLetters: 'hub' } }],
  ['minio', { type: 'minio' }],
  ['minio-stored', { type: 'minio', config: { acknowledge: 'stored' } }],
  ['minio-listen', { type: 'minio', config: { receive: 'listen', accessKey: 'a', secretKeyFile: '/var/secrets/m/k' }, secrets: { m: 'm' } }],
  ['mqtt', { type: 'mqtt' }],
  ['mqtt-shared', { type: 'mqtt', config: { sharedGroup: 'g' } }],
  ['mqtt-clean', { type: 'mqtt', config: { clean: true } }],
  ['mqtt-qos0', { type: 'mqtt', config: { qos: 0 } }],
  ['nats', { type: 'nats' }],
  ['nats-core', { type: 'nats', config: { layer: 'core' } }],
  ['nats-core-none', { type: 'nats', config: { layer: 'core', queueGroup: 'none' } }],
  ['nats-core-empty', { type: 'nats', config: { layer: 'core', queueGroup: '' } }],
  ['rabbitmq', { type: 'rabbitmq' }],
  ['rabbitmq-exchange', { type: 'rabbitmq', config: { exchange: 'e' } }],
  ['rabbitmq-dlx', { type: 'rabbitmq', config: { deadLetterExchange: 'd' } }],
  ['sqs', { type: 'sqs' }],
  ['sqs-queue', { type: 'sqs', config: { deadLetters: 'queue' } }],
  ['sqs-hub', { type: 'sqs', config: { deadLetters: 'hub' } }],
  ['webhook', { type: 'webhook', ...HOOKS }],
] // prettier-ignore

/** It has a volume of its own where what it accepted waits. */
const HAS_INBOX = new Set(['webhook', 'minio-stored'])

describe.skipIf(missing !== undefined)('the chart', () => {
  let api: KubernetesApi
  beforeAll(() => void (api = sharedKubernetes()))
  afterAll(() => api[Symbol.dispose]())

  test('every connector is among those that are held against their manifests', () => {
    expect(new Set(ENTRIES.map(([, { type }]) => type))).toEqual(new Set(builtInTypes()))
  })

  describe.each(ENTRIES)('%s', (name, entry) => {
    test('needs a volume just where the hub itself would keep dead letters, or accepted events', async () => {
      const chart = await one(api, name, { ...entry, ...KEPT })
      const env = { [`HUB_${name.toUpperCase().replaceAll('-', '_')}_CLIENT_ID`]: 'the-pod' }
      const config = await parsed(hubYamlText(chart, name), env)
      const { reject } = config.instances[0]?.terms.capabilities ?? {}
      const withoutVolume = await refusal(api, name, entry)
      expect(withoutVolume === 'accepted').toBe(reject === 'broker')
      const withSink = await refusal(api, name, { ...entry, hub: { deadLetters: { function: 'keep.openfaas-fn' } } })
      expect(withSink).toBe(
        HAS_INBOX.has(name)
          ? `connectors.${name}: what it has accepted is kept on the disk until functions have it, and the disk of a pod is gone with the pod. Set persistence.enabled: true, which claims a volume.`
          : 'accepted',
      )
    })

    test('has several replicas just where they share, or one of them leads', async () => {
      const chart = await one(api, name, { ...entry, ...KEPT })
      const env = { [`HUB_${name.toUpperCase().replaceAll('-', '_')}_CLIENT_ID`]: 'the-pod' }
      const { instances, settings } = await parsed(hubYamlText(chart, name), env)
      const [instance] = instances
      const shares = instance !== undefined && !takesTurns({ ...settings, leader: { ...settings.leader, enabled: true } }, instance) // prettier-ignore
      const said = await refusal(api, name, { ...entry, ...KEPT, replicas: 2 })
      expect(said === 'accepted' ? said : said.slice(0, 90)).toBe(
        shares ? 'accepted' : `connectors.${name}.replicas: is 2, but replicas of this connector do not share: each would invoke the functions.`.slice(0, 90), // prettier-ignore
      )
      const led = await refusal(api, name, { ...entry, ...KEPT, replicas: 2, leaderElection: true })
      expect(led).toBe(
        shares
          ? `connectors.${name}.leaderElection: replicas of this connector share the events, so that none has to stand by. Remove it.`
          : 'accepted',
      )
    })
  })

  test('names that the hub keeps for itself are refused', async () => {
    const words = Object.entries(hubFields).flatMap(([name, { kind }]) => kind === 'group' ? [name.replace(/[A-Z].*/, '')] : []) // prettier-ignore
    const said = await Promise.all([...new Set(words)].map((word) => refusal(api, `${word}-x`, { type: 'kafka' })))
    expect(said).toEqual([...new Set(words)].map((word) => `connectors.${word}-x: must be another name: HUB_${word.toUpperCase()}_… in the environment are keys of the hub itself.`)) // prettier-ignore
  })

  test.each<[string, Values, string]>([
    ['an unknown key', { type: 'kafka', tpoics: 'a' }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x': additional properties 'tpoics' not allowed"],
    ['an unknown key of the connector', { type: 'kafka', config: { brokrs: ['a'] } }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x/config': additional properties 'brokrs' not allowed"],
    ['a key of another connector', { type: 'kafka', rabbitmqURL: 'amqp://a' }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x': additional properties 'rabbitmqURL' not allowed"],
    ['no type', {}, "- at '/connectors/x': missing property 'type'"],
    ['an unknown type', { type: 'kafak' }, "- at '/connectors/x/type': value must be one of 'cron', 'kafka', 'minio', 'mqtt', 'nats', 'rabbitmq', 'sqs', 'webhook'"],
    ['a password in values', { type: 'kafka', config: { password: 'b' } }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x/config': additional properties 'password' not allowed"],
    ['a password in an address', { type: 'rabbitmq', ...KEPT, rabbitmqURL: 'amqp://user:word@rabbit' }, 'connectors.x.config.url: has a user or a password in it, and everybody who may read ConfigMaps would read it. Take it out, and set usernameFile and passwordFile to keys of a Secret mounted with `secrets`.'],
    ['a number without a unit', { type: 'kafka', upstreamTimeout: 30 }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x/upstreamTimeout': got number, want string"],
    ['a webhook without hooks', { type: 'webhook', ...KEPT }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x': missing property 'config'"],
    ['a place that is of the chart', { type: 'kafka', hub: { stateDir: '/data' } }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x/hub': additional properties 'stateDir' not allowed"],
    ['a file that is nowhere', { type: 'kafka', config: { tls: { enabled: true, caFile: '/etc/ca.pem' } } }, 'connectors.x.config.tls.caFile: /etc/ca.pem is not in the pod. Mount the Secret that has it with `secrets: { <folder>: <Secret> }` and write /var/secrets/<folder>/<key>; or a ConfigMap with `configMaps`, at /var/config/<folder>/<key>.'],
    ['a folder twice', { type: 'kafka', secrets: { 'basic-auth': 'other' } }, 'connectors.x.basic_auth: mounts basic-auth, which is mounted already. Call one of the two folders otherwise.'],
    ['one volume for two', { type: 'sqs', replicas: 2, persistence: { enabled: true, existingClaim: 'c' } }, 'connectors.x.replicas: is 2, but persistence.existingClaim is one volume, and each replica needs its own. Remove existingClaim, or set it to 1.'],
    ['one client id for two', { type: 'mqtt', ...KEPT, replicas: 2, config: { sharedGroup: 'g', clientId: 'me' } }, 'connectors.x.replicas: is 2, but all of them would be called me, and each connect disconnects the other. Remove the client id: each is called as its pod then.'],
    ['scaling by what nobody can tell', { type: 'mqtt', ...KEPT, autoscaling: { enabled: true, maxReplicas: 1 } }, 'connectors.x.autoscaling: mqtt cannot tell how much waits at its broker. Set autoscaling.enabled: false.'],
    ['scaling by what core NATS does not keep', { type: 'nats', ...KEPT, config: { layer: 'core' }, autoscaling: { enabled: true } }, 'connectors.x.autoscaling: core NATS cannot tell how much waits at its broker. Set autoscaling.enabled: false.'],
    ['fewer replicas than the fewest', { type: 'kafka', autoscaling: { enabled: true, minReplicas: 9 } }, 'connectors.x.autoscaling: minReplicas is above maxReplicas, 5. Lower it, or raise the other.'],
    ['an ingress without a name', { type: 'webhook', ...KEPT, ...HOOKS, ingress: { enabled: true } }, 'connectors.x.ingress.host: is needed: the name under which callers reach it.'],
    ['a keeper of dead letters that is not there', { type: 'mqtt', hub: { deadLetters: { connector: 'orders', topic: 'l' } } }, 'connectors.x.hub.deadLetters.connector: there is no connector orders. Name one of `connectors`.'],
    ['no volume for SQLite', { type: 'mqtt' }, "connectors.x: what no function took is kept in the hub's own store, and the disk of a pod is gone with the pod. Set persistence.enabled: true, which claims a volume, or hub.deadLetters to a function or another connector's topic."],
    ['no volume for SQLite at a broker with a place', { type: 'sqs' }, "connectors.x: what no function took is kept in the hub's own store, and the disk of a pod is gone with the pod. Set persistence.enabled: true, which claims a volume, or hub.deadLetters to a function or another connector's topic, or config.deadLetters: queue, where every queue has a redrive policy."],
    ['times of turns that nobody takes', { type: 'cron', ...KEPT, hub: { leader: { duration: '30s' } } }, 'connectors.x.hub.leader: has no effect without leaderElection: true. Set that, or remove it.'],
    ['replicas that do not share', { type: 'cron', ...KEPT, replicas: 3 }, 'connectors.x.replicas: is 3, but replicas of this connector do not share: each would invoke the functions. Set leaderElection: true, so that one works and the others stand by; or set it to 1.'],
  ])('%s is refused, and says what to do', async (_, entry, said) => {
    expect(await refusal(api, 'x', entry)).toBe(said)
  }) // prettier-ignore

  test.each(ENTRIES)(
    '%s keeps the dead letters of others just where the hub takes it for that',
    async (name, entry) => {
      const hub = { deadLetters: { connector: name, topic: 'letters' } }
      const { type, config = {}, secrets = {} } = entry as { type: string; config?: Values; secrets?: Values }
      const yaml = JSON.stringify({ ...hub, connectors: { x: { type: 'mqtt' }, [name]: { type, ...config } } })
      const isTaken = await parsed(yaml).then(() => true, () => false) // prettier-ignore
      const chart = await render(api, { connectors: { x: { type: 'mqtt', hub }, [name]: { ...KEPT, type, config, secrets } } }) // prettier-ignore
      const refused = `connectors.x.hub.deadLetters.connector: ${name} does not confirm events as kept`
      expect(typeof chart === 'string' && chart.includes(refused) ? refused : typeof chart).toBe(isTaken ? 'object' : refused) // prettier-ignore
    },
  )

  test('times of turns for all go to those that take turns, and are refused where none does', async () => {
    const common = { hub: { leader: { duration: '30s', renewDeadline: '20s' } } }
    const orders = { type: 'kafka' }
    const chart = await rendered(api, { common, connectors: { orders, timers: { type: 'cron', ...KEPT, leaderElection: true } } }) // prettier-ignore
    const leaderOf = async (name: string): Promise<unknown> => (await parsed(hubYamlText(chart, name))).settings.leader
    expect(await leaderOf('timers')).toMatchObject({ enabled: true, duration: 30_000, renewDeadline: 20_000 })
    expect(await leaderOf('orders')).toMatchObject({ enabled: false, duration: 15_000, renewDeadline: 10_000 })
    expect(await render(api, { common, connectors: { orders } })).toContain(
      'common.hub.leader: has no effect, no connector has leaderElection: true. Set that, or remove it.',
    )
  })

  test('a name that Kubernetes would not take is refused', async () => {
    expect(await refusal(api, `x${'y'.repeat(40)}`, { type: 'kafka' })).toBe(
      `connectors.x${'y'.repeat(40)}: what belongs to it would be called connector-hub-x${'y'.repeat(40)}, which is too long for Kubernetes. Set fullnameOverride, or a shorter name.`,
    )
  })

  test.each([
    [undefined, 'kafka', 35],
    ['1m30s', 'kafka', 100],
    ['1500ms', 'kafka', 12],
    ['25s', 'webhook', 40],
  ])('a pod is given longer than draining for %s of %s takes', async (drainTimeout, type, seconds) => {
    const entry = { type, ...KEPT, ...(type === 'webhook' ? HOOKS : {}), hub: drainTimeout === undefined ? {} : { drainTimeout } } // prettier-ignore
    expect(podOf(await one(api, 'x', entry), 'StatefulSet').terminationGracePeriodSeconds).toBe(seconds)
  })
})
