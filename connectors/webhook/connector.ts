// The webhook connector: hands the configuration to its source, after checking what fields cannot.

import { HubError, defineConnector } from '../../src/sdk/index.ts'
import { hookProblem } from './hooks.ts'
import { manifest } from './manifest.ts'
import { WebhookSource } from './webhook-source.ts'

export default defineConnector(manifest, (config, context) => {
  const at = `connectors.${context.instance}`
  const fail = (what: string, hint: string): never => {
    throw new HubError('HUB_CONFIG_INVALID', `${at}${what}`, { hint })
  }
  const names = new Set<string>()
  for (const [index, hook] of config.hooks.entries()) {
    const problem = hookProblem(hook)
    if (problem !== undefined) fail(`.hooks.${index} (${hook.name}): ${problem}`, "See the table of schemes in the connector's README.") // prettier-ignore
    if (names.has(hook.name)) fail(`.hooks.${index}: ${hook.name} stands there twice`, 'Give each hook a name of its own.') // prettier-ignore
    names.add(hook.name)
  }
  if ((config.listen.certFile === undefined) !== (config.listen.keyFile === undefined))
    fail('.listen: certFile and keyFile belong together', 'Set both for HTTPS, or neither.')
  return new WebhookSource(config, context)
})
