// What we may do, as the API server itself judges it. Called by `doctor`.

import { recordOf } from '../sdk/index.ts'
import type { CallOptions, KubernetesApi } from './api.ts'
import type { MissingRule } from './errors.ts'

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'

/** Asks by a SelfSubjectAccessReview, which every account may. @throws as KubernetesApi */
export async function isAllowed(api: KubernetesApi, rule: MissingRule, options: CallOptions = {}): Promise<boolean> {
  const { verb, group, namespace, name } = rule
  const [resource = '', subresource] = rule.resource.split('/')
  const resourceAttributes = {
    verb,
    group,
    resource,
    ...(subresource === undefined ? {} : { subresource }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  }
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes },
  }
  const { status } = await api.create(REVIEWS, review, options)
  return recordOf(status)['allowed'] === true
}
