// One attempt to reach a broker: options from the configuration, errors that say what to do. Called by rabbit-source.ts.

import type { Duplex } from 'node:stream'

import amqp from 'amqplib'
import type { ChannelModel, Options, SocketOptions } from 'amqplib'

import { HubError, errorText, isTlsFailure, redactUrl, tlsSettings } from '../../src/sdk/index.ts'
import type { Clock, ConfigOf } from '../../src/sdk/index.ts'
import type { manifest } from './manifest.ts'

export type RabbitConfig = ConfigOf<typeof manifest.fields>

/** An open connection that never reconnects. */
export interface Link {
  readonly model: ChannelModel
  /** `RabbitMQ 3.10.8` */
  readonly server: string
  /** Of the broker; undefined where it does not say. */
  readonly major: number | undefined
  /** Resolves when it has ended, with the reason where there is one. */
  readonly ended: Promise<Error | undefined>
  /** Ends it in order, and by force after a moment. Idempotent, never rejects. */
  close(): Promise<void>
}

const CLOSE_MS = 1500

/** @throws HubError HUB_SOURCE_*; the signal's reason when aborted */
export async function dial(config: RabbitConfig, name: string, clock: Clock, signal: AbortSignal): Promise<Link> {
  signal.throwIfAborted()
  const { address, socket } = optionsOf(config, name)
  const connecting = amqp.connect(address, socket)
  const given = Promise.withResolvers<never>()
  const onAbort = (): void => given.reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  const late = clock.after(config.connectTimeout, () => given.reject(new Error(`no answer within ${config.connectTimeout} ms`))) // prettier-ignore
  try {
    return linkOf(await Promise.race([connecting, given.promise]), clock)
  } catch (error) {
    // Too late to be wanted, should it still succeed.
    connecting.then((model) => linkOf(model, clock).close(), () => undefined) // prettier-ignore
    signal.throwIfAborted()
    throw dialProblem(error, config)
  } finally {
    late.cancel()
    signal.removeEventListener('abort', onAbort)
    given.promise.catch(() => undefined)
  }
}

/** Without credentials, for messages. */
export function addressOf({ url, vhost }: RabbitConfig): string {
  return vhost === undefined ? redactUrl(url) : `${redactUrl(url)} (vhost ${vhost})`
}

export function vhostOf({ url, vhost }: RabbitConfig): string {
  return vhost ?? (decodeURIComponent(new URL(url).pathname.slice(1)) || '/')
}

/** What the client keeps to itself: there is no other way to end a connection whose peer is silent. */
interface Inner {
  readonly stream?: Duplex
  /** Whatever the broker sends. */
  readonly serverProperties: { readonly product?: string; readonly version?: string }
}

function linkOf(model: ChannelModel, clock: Clock): Link {
  const ended = Promise.withResolvers<Error | undefined>()
  const { stream, serverProperties } = model.connection as unknown as Inner
  const { product = 'AMQP 0-9-1 broker', version = '' } = serverProperties
  let reason: Error | undefined
  let isOver = false
  model.on('error', (error) => (reason = error))
  model.on('close', (error) => {
    isOver = true
    // Ended on our side only, a peer that is silent would keep the socket.
    stream?.destroy()
    ended.resolve(error ?? reason)
  })
  const end = async (): Promise<void> => {
    if (isOver) return
    const force = clock.after(CLOSE_MS, () => void stream?.destroy(new Error('closed by force')))
    await Promise.race([model.close().catch(() => undefined), ended.promise])
    force.cancel()
  }
  let closing: Promise<void> | undefined
  const major = Number.parseInt(version, 10)
  return {
    model,
    server: `${product} ${version}`.trim(),
    major: Number.isNaN(major) ? undefined : major,
    ended: ended.promise,
    close: () => (closing ??= end()),
  }
}

function optionsOf(config: RabbitConfig, name: string): { address: Options.Connect; socket: SocketOptions } {
  const { username, password, auth, heartbeat, connectTimeout } = config
  const url = new URL(config.url)
  const isAnonymous = url.username === '' && url.password === '' && username === undefined && password === undefined
  return {
    address: {
      protocol: url.protocol.slice(0, -1),
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      ...(url.port === '' ? {} : { port: Number(url.port) }),
      vhost: encodeURIComponent(vhostOf(config)),
      username: username?.reveal() ?? (isAnonymous ? 'guest' : decodeURIComponent(url.username)),
      password: password?.reveal() ?? (isAnonymous ? 'guest' : decodeURIComponent(url.password)),
      heartbeat: Math.ceil(heartbeat / 1000),
    },
    socket: {
      noDelay: true,
      timeout: connectTimeout,
      clientProperties: { connection_name: name },
      ...(auth === 'external' ? { credentials: amqp.credentials.external() } : {}),
      ...(url.protocol === 'amqps:' ? tlsSettings(config.tls) : {}),
    },
  }
}

/** The client hands the broker's words on as text. */
function dialProblem(error: unknown, config: RabbitConfig): HubError {
  if (error instanceof HubError) return error
  const text = `${addressOf(config)}: ${errorText(error)}`
  if (isTlsFailure(error)) return new HubError('HUB_SOURCE_TLS', text, { cause: error })
  if (text.includes('ACCESS_REFUSED')) return new HubError('HUB_SOURCE_AUTH', text, { cause: error })
  if (text.includes('SASL mechanism'))
    return new HubError('HUB_SOURCE_AUTH', text, {
      cause: error,
      hint: 'For auth: external, enable rabbitmq_auth_mechanism_ssl and set auth_mechanisms.1 = EXTERNAL at the broker.',
    })
  // Whoever does not speak it answers with a protocol header (AMQP 0-9-1 §2.2.4), or with text; read as a frame, either is too long.
  if (/Frame size \d+ exceeds/.test(text))
    return new HubError('HUB_SOURCE_PROTOCOL', `${addressOf(config)} does not speak AMQP 0-9-1`, {
      cause: error,
      hint: "Check that the port is RabbitMQ's for AMQP (5672, with TLS 5671), and that another broker there speaks AMQP 0-9-1.",
    })
  // The client leaves out what the broker said. At this point it is about the virtual host.
  if (text.includes('ConnectionOpenOk; got <ConnectionClose')) {
    const vhost = vhostOf(config)
    return new HubError('HUB_SOURCE_FORBIDDEN', `${addressOf(config)}: the virtual host ${vhost} is not open to us`, {
      cause: error,
      hint: `Create it, or let the user in: rabbitmqctl add_vhost '${vhost}'; rabbitmqctl set_permissions -p '${vhost}' <user> '' '' '.*'. Its limit of connections may be reached, too.`,
    })
  }
  return new HubError('HUB_SOURCE_UNREACHABLE', text, { cause: error, canRetry: true })
}
