// What of a configuration is wrong although each field is valid. Pure; asked whenever a configuration is read.

import { certificateFault } from '../../src/sdk/index.ts'
import type { ConfigFault, ConfigOf } from '../../src/sdk/index.ts'
import type { fields } from './manifest.ts'

export function check(config: ConfigOf<typeof fields>): ConfigFault | undefined {
  const { brokers, saslMechanism, username, password, oauth, tls, topics } = config
  if (brokers.length === 0) return { at: 'brokers', message: 'is empty', hint: 'Name at least one broker, as host:port.' } // prettier-ignore
  const malformed = brokers.some((broker) => !/^(\[[0-9a-f:.]+\]|[^\s:/@]+)(:\d{1,5})?$/i.test(broker))
  if (malformed) return { at: 'brokers', message: 'holds an entry that is no host:port', hint: 'Write kafka.example.com:9092, without a scheme and without credentials.' } // prettier-ignore
  if ((username === undefined) !== (password === undefined)) return { at: '', message: 'has one of username and password, which belong together', hint: 'Set both, or neither.' } // prettier-ignore
  if (saslMechanism === 'oauthbearer') {
    const hasEndpoint = oauth.tokenEndpoint !== undefined && oauth.clientId !== undefined && oauth.clientSecret !== undefined // prettier-ignore
    if (oauth.tokenFile === undefined && !hasEndpoint) return { at: 'oauth', message: 'is not complete', hint: 'Set tokenFile, or tokenEndpoint, clientId and clientSecret.' } // prettier-ignore
    if (username !== undefined) return { at: 'saslMechanism', message: 'oauthbearer has no username and password', hint: 'Remove them, or choose another saslMechanism.' } // prettier-ignore
  } else if (saslMechanism !== undefined && username === undefined)
    return { at: 'saslMechanism', message: `${saslMechanism} needs a username and a password`, hint: 'Set them, or remove saslMechanism.' } // prettier-ignore
  const halfOfPair = certificateFault('tls', tls)
  if (halfOfPair !== undefined) return halfOfPair
  if (config.revokeTimeout >= config.rebalanceTimeout) return { at: 'revokeTimeout', message: 'is not below rebalanceTimeout', hint: 'Else the group goes on without us while we still work.' } // prettier-ignore
  for (const topic of topics ?? []) {
    try {
      patternOf(topic)
    } catch {
      return { at: 'topics', message: `holds ${topic}, which is no regular expression`, hint: 'Correct it, or leave out the slashes for an exact name.' } // prettier-ignore
    }
  }
  return undefined
}

/** Of an entry between slashes. @throws SyntaxError when it is no regular expression */
export function patternOf(entry: string): RegExp | undefined {
  return entry.length > 2 && entry.startsWith('/') && entry.endsWith('/') ? new RegExp(entry.slice(1, -1)) : undefined
}
