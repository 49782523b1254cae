// The RabbitMQ connector: hands the configuration to its source, after checking what fields cannot.

import { HubError, defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { RabbitSource } from './rabbit-source.ts'

export default defineConnector(manifest, (config, context) => {
  const at = `connectors.${context.instance}`
  const refuse = (what: string, hint: string): never => {
    throw new HubError('HUB_CONFIG_INVALID', `${at}${what}`, { hint })
  }
  const { url, tls, auth, exchange, exchangeType, queue, queues, username, password } = config
  const parsed = new URL(url)
  if (parsed.search !== '')
    refuse('.url has a query, which would be ignored', 'Set heartbeat, connectTimeout and tls instead.')
  const usesTls = parsed.protocol === 'amqps:'
  const { caFile, certFile, keyFile, serverName, insecureSkipVerify } = tls
  const setsTls = [caFile, certFile, keyFile, serverName].some((one) => one !== undefined) || insecureSkipVerify
  if (setsTls && !usesTls)
    refuse('.tls is set, but url begins with amqp://', 'Write amqps:// for TLS (port 5671), or remove tls.')
  if ((certFile === undefined) !== (keyFile === undefined))
    refuse('.tls: certFile and keyFile belong together', 'Set both for a client certificate, or neither.')
  if (auth === 'external' && certFile === undefined)
    refuse('.auth: external needs a client certificate', 'Set tls.certFile and tls.keyFile.')
  if (auth === 'external' && (username ?? password) !== undefined)
    refuse('.auth: external takes the name from the certificate', 'Remove username and password.')
  if (username !== undefined && password === undefined && parsed.password === '')
    refuse('.username is set without password', 'Set password or passwordFile, or auth: external.')
  if (password !== undefined && username === undefined && parsed.username === '')
    refuse('.password is set without username', 'Set username or usernameFile.')
  if (exchange === undefined && queue !== undefined)
    refuse('.queue is set without exchange', 'Name queues in the topic annotations, or set exchange.')
  if (exchange === undefined && exchangeType !== 'topic')
    refuse('.exchangeType is set without exchange', 'Set exchange, or remove exchangeType.')
  for (const { name, type, durable, autodelete, exclusive } of queues)
    if (type !== 'classic' && (!durable || autodelete || exclusive))
      refuse(
        `.queues: ${name} is a ${type} queue`,
        'Quorum queues and streams are durable, and neither autodelete nor exclusive.',
      )
  return new RabbitSource(config, context)
})
