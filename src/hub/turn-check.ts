// Whether replicas can take turns: every right on the Lease and the ConfigMap of each instance that does. Changes nothing.
// Called by `doctor`.

import { grantText, isAllowed } from '../kubernetes/index.ts'
import type { KubernetesApi, MissingRule } from '../kubernetes/index.ts'
import { systemClock } from '../sdk/index.ts'
import { failedCheck } from './checkup.ts'
import type { Check } from './checkup.ts'
import { openCluster } from './cluster.ts'
import type { Environment, HubConfig } from './config.ts'
import { takesTurns } from './turn-settings.ts'
import { leaseName } from './turns.ts'

const subject = 'leader'

/** Never throws. */
export async function checkTurns(
  { settings, instances }: HubConfig,
  env: Environment,
  { timeoutMs, say }: { readonly timeoutMs: number; readonly say: (check: Check) => void },
): Promise<void> {
  const taking = instances.filter((instance) => takesTurns(settings, instance))
  if (taking.length === 0) {
    say({ subject, outcome: 'ok', detail: 'no connector has replicas that take turns' })
    return
  }
  let api: KubernetesApi | undefined
  try {
    api = await openCluster(settings, systemClock, env, timeoutMs)
    const namespace = settings.leader.namespace ?? api.namespace
    for (const { name } of taking) say(await checkInstance(api, name, leaseName(settings, name), namespace))
  } catch (error) {
    say(failedCheck(subject, error))
  } finally {
    await api?.close()
  }
}

/** RBAC cannot name what is yet to be created. */
export function turnRules(name: string, namespace: string): readonly MissingRule[] {
  return [
    { group: 'coordination.k8s.io', resource: 'leases' },
    { group: '', resource: 'configmaps' },
  ].flatMap((kind) => [
    { ...kind, verb: 'create', namespace },
    { ...kind, verb: 'get', namespace, name },
    { ...kind, verb: 'update', namespace, name },
  ])
}

async function checkInstance(api: KubernetesApi, instance: string, name: string, namespace: string): Promise<Check> {
  const rules = turnRules(name, namespace)
  const verdicts = await Promise.all(rules.map((rule) => isAllowed(api, rule)))
  const missing = rules.filter((_, index) => verdicts[index] !== true)
  const place = `Lease and ConfigMap ${name} in ${namespace}`
  if (missing.length === 0) return { subject, outcome: 'ok', detail: `${instance} may create, get and update ${place}` }
  return {
    subject,
    outcome: 'failed',
    detail: `${instance} must not ${missing.map(({ verb, resource }) => `${verb} ${resource}`).join(', ')}: it needs ${place}`,
    code: 'HUB_KUBERNETES_FORBIDDEN',
    fix: `${missing.map(grantText).join('; ')}.`,
  }
}
