// What of a configuration is wrong although each field is valid. Pure; asked whenever a configuration is read.

import { certificateFault, isPercentEncoded } from '../../src/sdk/index.ts'
import type { ConfigFault, ConfigOf } from '../../src/sdk/index.ts'
import type { fields } from './manifest.ts'

type RabbitConfig = ConfigOf<typeof fields>

export function check(config: RabbitConfig): ConfigFault | undefined {
  return loginFault(config) ?? queueFault(config)
}

function loginFault({ url, vhost, tls, auth, username, password }: RabbitConfig): ConfigFault | undefined {
  const parsed = new URL(url)
  if (parsed.search !== '')
    return { at: 'url', message: 'has a query, which would be ignored', hint: 'Set heartbeat, connectTimeout and tls instead.' } // prettier-ignore
  const own = (set: unknown, part: string): string => (set === undefined ? part : '')
  if (![own(username, parsed.username), own(password, parsed.password), own(vhost, parsed.pathname)].every(isPercentEncoded))
    return { at: 'url', message: 'has a % in its user name, password or virtual host that begins no escape', hint: 'Write %25 for it, or set username, password and vhost by themselves.' } // prettier-ignore
  const { caFile, certFile, keyFile, serverName, insecureSkipVerify } = tls
  const setsTls = [caFile, certFile, keyFile, serverName].some((one) => one !== undefined) || insecureSkipVerify
  if (setsTls && parsed.protocol !== 'amqps:')
    return { at: 'tls', message: 'is set, but url begins with amqp://', hint: 'Write amqps:// for TLS (port 5671), or remove tls.' } // prettier-ignore
  const halfOfPair = certificateFault('tls', tls)
  if (halfOfPair !== undefined) return halfOfPair
  if (auth === 'external' && certFile === undefined)
    return { at: 'auth', message: 'external needs a client certificate', hint: 'Set tls.certFile and tls.keyFile.' }
  if (auth === 'external' && (username ?? password) !== undefined)
    return { at: 'auth', message: 'external takes the name from the certificate', hint: 'Remove username and password.' } // prettier-ignore
  if (username !== undefined && password === undefined && parsed.password === '')
    return { at: 'username', message: 'is set without password', hint: 'Set password or passwordFile, or auth: external.' } // prettier-ignore
  if (password !== undefined && username === undefined && parsed.username === '')
    return { at: 'password', message: 'is set without username', hint: 'Set username or usernameFile.' }
  return undefined
}

function queueFault({ exchange, exchangeType, queue, queues }: RabbitConfig): ConfigFault | undefined {
  if (exchange === undefined && queue !== undefined)
    return { at: 'queue', message: 'is set without exchange', hint: 'Name queues in the topic annotations, or set exchange.' } // prettier-ignore
  if (exchange === undefined && exchangeType !== 'topic')
    return { at: 'exchangeType', message: 'is set without exchange', hint: 'Set exchange, or remove exchangeType.' }
  for (const [index, { name, type, durable, autodelete, exclusive }] of queues.entries())
    if (type !== 'classic' && (!durable || autodelete || exclusive))
      return {
        at: `queues.${index}`,
        message: `(${name}) is a ${type} queue`,
        hint: 'Quorum queues and streams are durable, and neither autodelete nor exclusive.',
      }
  return undefined
}
