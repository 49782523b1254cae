// The NATS connector: hands the configuration to its source, after checking what fields cannot.

import { HubError, defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { NatsSource } from './nats-source.ts'

export default defineConnector(manifest, (config, context) => {
  const at = `connectors.${context.instance}`
  const ways = [
    config.username === undefined ? undefined : 'username',
    config.token === undefined ? undefined : 'token',
    config.nkeySeed === undefined ? undefined : 'nkeySeed',
    config.credsFile === undefined ? undefined : 'credsFile',
  ].filter((way) => way !== undefined)
  if (ways.length > 1)
    throw new HubError('HUB_CONFIG_INVALID', `${at}: ${ways.join(' and ')} are different ways to log in`, {
      hint: 'Keep one of them.',
    })
  if (config.servers.length === 0)
    throw new HubError('HUB_CONFIG_INVALID', `${at}.servers is empty`, { hint: 'Name at least one server.' })
  if ((config.tls.certFile === undefined) !== (config.tls.keyFile === undefined))
    throw new HubError('HUB_CONFIG_INVALID', `${at}.tls: certFile and keyFile belong together`, {
      hint: 'Set both for a client certificate, or neither.',
    })
  return new NatsSource(config, context)
})
