// The gateway's settings under OpenFaaS's environment names (OpenFaaS contract, gateway environment). Reads only what it is
// given; what cannot have an effect here is said, never dropped in silence. Read by the `gateway` command.

import { HubError, formatDuration } from '../sdk/index.ts'
import { isSet, isTrue, millisecondsIn } from './environment.ts'
import type { Environment } from './environment.ts'
import { readQueueSettings } from './queue/settings.ts'
import type { QueueSettings } from './queue/settings.ts'

/** What `startGateway` takes, by the same names. */
export interface GatewaySettings {
  /** Namespace of functions that name none. */
  readonly namespace: string
  /** For a whole request to arrive, and for an idle connection to say something. */
  readonly readTimeoutMs: number
  /** From the end of a request's headers to the end of its answer, streams included. */
  readonly writeTimeoutMs: number
  /** A whole call of a function; streams have only `writeTimeoutMs`. */
  readonly upstreamTimeoutMs: number
  readonly scaleFromZero: boolean
  /** A log line for each call with where it is sent. */
  readonly writeRequestUri: boolean
  /** Of `/async-function/`. */
  readonly queue: QueueSettings
}

export interface ReadSettings {
  readonly settings: GatewaySettings
  /** Sentences on what is set and does nothing, or harm. */
  readonly notes: readonly string[]
}

/** Where OpenFaaS's gateway looks for `basic-auth-user` and `basic-auth-password`. */
export const SECRET_MOUNT_PATH = '/run/secrets'

/** Of functions that name none. */
export const FUNCTION_NAMESPACE = 'openfaas-fn'
export const UPSTREAM_TIMEOUT_MS = 60_000
/** What reading and writing may take beyond the call, as the values of OpenFaaS's chart have it. */
export const BEYOND_UPSTREAM_MS = 5000

const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  functions_provider_url: 'the gateway runs the functions itself',
  logs_provider_url: 'the gateway keeps the logs itself',
  faas_prometheus_host: 'invocations are counted by the gateway itself',
  faas_prometheus_port: 'invocations are counted by the gateway itself',
  max_idle_conns: 'a function has no more connections than calls, and idle ones close after seconds',
  max_idle_conns_per_host: 'a function has no more connections than calls, and idle ones close after seconds',
  faas_nats_cluster_name: 'only JetStream is spoken, which has no such names',
  auth_proxy_pass_body: 'there is no auth_proxy_url',
}

/** @throws HubError HUB_CONFIG_INVALID */
export function readGatewaySettings(env: Environment): ReadSettings {
  // Whoever sets it wants calls to be refused that we would let in.
  if (isSet(env['auth_proxy_url']))
    throw new HubError('HUB_CONFIG_INVALID', 'auth_proxy_url is set, and this gateway asks no authentication proxy', {
      hint: 'Unset it, and set basic_auth=true with secret_mount_path.',
    })
  const upstreamTimeoutMs = millisecondsIn(env, 'upstream_timeout') ?? UPSTREAM_TIMEOUT_MS
  const settings: GatewaySettings = {
    namespace: namespaceOf(env),
    upstreamTimeoutMs,
    readTimeoutMs: millisecondsIn(env, 'read_timeout') ?? upstreamTimeoutMs + BEYOND_UPSTREAM_MS,
    writeTimeoutMs: millisecondsIn(env, 'write_timeout') ?? upstreamTimeoutMs + BEYOND_UPSTREAM_MS,
    scaleFromZero: isTrue(env, 'scale_from_zero'),
    writeRequestUri: isSet(env['write_request_uri']),
    queue: readQueueSettings(env),
  }
  const notes = Object.entries(WITHOUT_EFFECT)
    .filter(([name]) => isSet(env[name]))
    .map(([name, reason]) => `${name} has no effect: ${reason}`)
  return { settings, notes: [...notes, ...conflicts(settings)] }
}

function conflicts({ writeTimeoutMs, upstreamTimeoutMs }: GatewaySettings): readonly string[] {
  if (writeTimeoutMs > upstreamTimeoutMs) return []
  const [write, upstream] = [writeTimeoutMs, upstreamTimeoutMs].map(formatDuration)
  return [`write_timeout ${write} cuts calls off before upstream_timeout ${upstream} answers them with 502`]
}

/** @throws HubError HUB_CONFIG_INVALID */
function namespaceOf({ function_namespace: text = '' }: Environment): string {
  if (text === '') return FUNCTION_NAMESPACE
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)) return text
  throw new HubError('HUB_CONFIG_INVALID', `function_namespace "${text}" is not a name of a namespace`, {
    hint: 'Set function_namespace to at most 63 lower-case letters, digits and dashes, such as openfaas-fn.',
  })
}
