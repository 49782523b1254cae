// The clients of one connection: one for receives, which occupy their sockets for as long as they wait, and one for
// everything else, so that neither waits for the other's sockets. Called by sqs-source.ts.

import { ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs'
import type { SQSClientConfig } from '@aws-sdk/client-sqs'

import { redactUrl, tlsSettings } from '../../src/sdk/index.ts'
import type { ConfigOf, SourceLog } from '../../src/sdk/index.ts'
import type { manifest } from './manifest.ts'
import { isForbidden, sqsProblem } from './problems.ts'

export type SqsConfig = ConfigOf<typeof manifest.fields>

export interface Clients {
  /** Its sockets are as many as the receivers, which bound themselves. */
  readonly receive: SQSClient
  readonly work: SQSClient
  /** Ends every request. */
  destroy(): void
}

const WORK_SOCKETS_MAX = 32

/** @throws HubError HUB_SOURCE_TLS */
export function openClients(config: SqsConfig, log: Pick<SourceLog, 'debug'>): Clients {
  const { region, endpoint, connectTimeout, requestTimeout, waitTime, tls } = config
  const { accessKeyId, secretAccessKey, sessionToken } = config
  const { ca, cert, key, servername, rejectUnauthorized } = tlsSettings(tls)
  const https = {
    rejectUnauthorized,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
  }
  const clientConfig = (timeoutMs: number, maxSockets: number): SQSClientConfig => ({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    // Retries are ours: they know the visibility timeout, and when to give up.
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: connectTimeout,
      requestTimeout: timeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets },
      httpsAgent: { maxSockets, ...https },
    },
    logger: quietLogger(log),
    // A rotated credentials file is read anew by the next connection.
    ...FRESH_FILES,
  })
  const credentials =
    accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : {
          credentials: {
            accessKeyId: accessKeyId.reveal(),
            secretAccessKey: secretAccessKey.reveal(),
            ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.reveal() }),
          },
        }
  const work = new SQSClient({ ...clientConfig(requestTimeout, WORK_SOCKETS_MAX), ...credentials })
  // Found once for both.
  const found = { credentials: work.config.credentials }
  const receive = new SQSClient({ ...clientConfig(wholeSeconds(waitTime) * 1000 + requestTimeout, Infinity), ...found })
  return {
    receive,
    work,
    destroy: () => {
      receive.destroy()
      work.destroy()
    },
  }
}

/** Passes when the server answers and knows our credentials. @throws HubError HUB_SOURCE_* */
export async function checkAccess({ work }: Clients, at: string, signal: AbortSignal): Promise<void> {
  try {
    await work.send(new ListQueuesCommand({ MaxResults: 1 }), { abortSignal: signal })
  } catch (error) {
    signal.throwIfAborted()
    // Whoever is told so has been recognised; a hub needs no right to list queues.
    if (!isForbidden(error)) throw sqsProblem(error, at)
  }
}

/** Without credentials, for messages. */
export function addressOf({ endpoint, region }: SqsConfig): string {
  return endpoint === undefined ? `SQS in ${region ?? 'the configured region'}` : redactUrl(endpoint)
}

/** SQS counts in seconds. Never less than asked. */
export function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1000)
}

/** The client hands its configuration to the readers of shared files; its types do not say so. */
const FRESH_FILES = { ignoreCache: true }

/** What the client says by itself is for us. Its other lines hold requests and answers, and so bodies. */
function quietLogger(log: Pick<SourceLog, 'debug'>): NonNullable<SQSClientConfig['logger']> {
  const silent = (): void => undefined
  const warn = (...content: readonly unknown[]): void => log.debug('sqs.client', content.map(String).join(' '))
  return { trace: silent, debug: silent, info: silent, warn, error: silent }
}
