// Options of `gateway` that stand for OpenFaaS's environment names: the same words with dashes. An option comes before the
// variable. Which values are right, the gateway's settings decide.

import { Option } from 'commander'

/** Where `gateway` keeps its state by default. */
export const GATEWAY_STATE_DIR = '.connector-hub/gateway'

interface Setting {
  /** What is to be given; absent: it is on when it is there. */
  readonly value?: string
  readonly meaning: string
}

/** By their names in the environment, in the order of the help. */
export const SETTINGS: Readonly<Record<string, Setting>> = {
  function_namespace: { value: 'name', meaning: 'namespace of functions that name none; default: openfaas-fn' },
  upstream_timeout: { value: 'duration', meaning: 'for a whole call of a function; default: 60s' },
  read_timeout: { value: 'duration', meaning: 'for a request to arrive; default: 5s more than a call' },
  write_timeout: { value: 'duration', meaning: 'for an answer to be sent, streams too; default: 5s more than a call' },
  scale_from_zero: {
    meaning: 'a call of a function that is not there is a 404, not a 503; async calls wait for cold starts',
  },
  write_request_uri: { meaning: 'a line for each call with where it is sent' },
  faas_nats_address: { value: 'url', meaning: 'keep async calls in NATS JetStream instead of the state directory' },
  faas_nats_port: { value: 'n', meaning: 'port of NATS, where the address has none; default: 4222' },
  faas_nats_channel: { value: 'queue', meaning: 'queue of async calls whose function names none; default: faas-request' }, // prettier-ignore
  max_inflight: { value: 'n', meaning: 'async calls that run at once; default: 50' },
  max_retry_attempts: { value: 'n', meaning: 'how often an async call is tried again; default: 10' },
  retry_http_codes: { value: 'list', meaning: 'for these answers; default: 408,429,500,502,503,504' },
  initial_retry_wait: { value: 'duration', meaning: 'before the first of them; default: 10s' },
  max_retry_wait: { value: 'duration', meaning: 'before each of them, at most; default: 120s' },
  backoff: { value: 'kind', meaning: 'how waits grow: exponential (default), full or equal' },
  ack_wait: {
    value: 'duration',
    meaning: 'JetStream: a call without a sign of life is given to another; default: 60s',
  },
  tls_insecure: { meaning: 'callbacks take any certificate' },
  async_body_max: { value: 'size', meaning: 'largest body of an async call; default: 1MiB' },
  async_check_function: { meaning: 'an async call of a function that is not there is a 404' },
  async_callback_timeout: { value: 'duration', meaning: 'for a callback; default: 60s' },
  async_dead_letters_max: {
    value: 'size',
    meaning: 'kept of what no retry could deliver, the newest; default: 256MiB',
  },
  async_drain_timeout: {
    value: 'duration',
    meaning: 'at the end, for async calls to end; default: as --drain-timeout',
  },
}

const HEADING = 'Options that are also variables of the environment, with _ for - (upstream_timeout=30s):'

export function settingOptions(): readonly Option[] {
  return Object.entries(SETTINGS).map(([name, { value, meaning }]) =>
    new Option(`${flagOf(name)}${value === undefined ? '' : ` <${value}>`}`, meaning).helpGroup(HEADING),
  )
}

/** The environment with what was given on the command line in its place. @param options as commander names them */
export function withSettings(
  env: Readonly<Record<string, string | undefined>>,
  options: Readonly<Record<string, unknown>>,
): Readonly<Record<string, string | undefined>> {
  const given = Object.keys(SETTINGS).flatMap((name) => {
    const value = options[name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())]
    return value === undefined ? [] : [[name, typeof value === 'string' ? value : 'true'] as const]
  })
  return { ...env, ...Object.fromEntries(given) }
}

function flagOf(name: string): string {
  return `--${name.replaceAll('_', '-')}`
}
