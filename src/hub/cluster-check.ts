// Whether the API server can be reached and every right is granted that discovery needs. Changes nothing. Called by `doctor`.

import { kubernetesScope, neededRules } from '../discovery/kubernetes.ts'
import { NOT_FOUND, grantText, isAllowed, statusOf } from '../kubernetes/index.ts'
import type { KubernetesApi, MissingRule } from '../kubernetes/index.ts'
import { systemClock } from '../sdk/index.ts'
import { failedCheck } from './checkup.ts'
import type { Check } from './checkup.ts'
import { clusterScope, openCluster } from './cluster.ts'
import type { Environment, HubSettings } from './config.ts'

const subject = 'kubernetes'

/** Never throws. @param say told of each result as it is known */
export async function checkCluster(
  settings: HubSettings,
  env: Environment,
  { timeoutMs, say }: { readonly timeoutMs: number; readonly say: (check: Check) => void },
): Promise<void> {
  let api: KubernetesApi | undefined
  try {
    api = await openCluster(settings, systemClock, env, timeoutMs)
    const { gitVersion } = await api.get('/version')
    const version = typeof gitVersion === 'string' ? gitVersion : 'of an unknown version'
    say({ subject, outcome: 'ok', detail: `${api.server} is ${version}, by ${api.from}` })
    await checkRights(api, settings, say)
    say(await checkDefinition(api))
  } catch (error) {
    say(failedCheck(subject, error))
  } finally {
    await api?.close()
  }
}

/** One check for each resource of each namespace. */
async function checkRights(api: KubernetesApi, settings: HubSettings, say: (check: Check) => void): Promise<void> {
  const rules = neededRules(kubernetesScope(clusterScope(settings)))
  const place = ({ namespace }: MissingRule): string => (namespace === undefined ? 'the whole cluster' : namespace)
  for (const [what, together] of Map.groupBy(rules, (rule) => `${rule.resource} in ${place(rule)}`)) {
    const verdicts = await Promise.all(together.map((rule) => isAllowed(api, rule)))
    const missing = together.filter((_, index) => verdicts[index] !== true)
    const verbs = (some: readonly MissingRule[]): string => some.map(({ verb }) => verb).join(' and ')
    if (missing.length === 0) say({ subject, outcome: 'ok', detail: `may ${verbs(together)} ${what}` })
    else
      say({
        subject,
        outcome: 'failed',
        detail: `must not ${verbs(missing)} ${what}`,
        code: 'HUB_KUBERNETES_FORBIDDEN',
        fix: `${missing.map(grantText).join('; ')}.`,
      })
  }
}

/** Which definitions there are, everybody may ask. */
async function checkDefinition(api: KubernetesApi): Promise<Check> {
  try {
    await api.get('/apis/openfaas.com/v1')
    return { subject, outcome: 'ok', detail: 'Function resources are installed, and read beside the Deployments' }
  } catch (error) {
    if (statusOf(error) !== NOT_FOUND) throw error
    return { subject, outcome: 'ok', detail: 'no Function resources are installed: functions are the Deployments of OpenFaaS' } // prettier-ignore
  }
}
