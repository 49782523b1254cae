// The one API server of a run of `npm run test:kubernetes`, which global-setup.ts starts and ends: for tests that keep to a
// namespace of their own. Those that stop it, or want other settings, start one themselves: kubernetes.ts.

import { inject } from 'vitest'

import { KubernetesApi } from './kubernetes-api.ts'
import type { KubernetesAddress } from './kubernetes-api.ts'
import { ServerUnavailable } from './provide.ts'

declare module 'vitest' {
  interface ProvidedContext {
    kubernetes: KubernetesAddress | undefined
  }
}

/** @throws ServerUnavailable, see `noKubernetes` */
export function sharedKubernetes(): KubernetesApi {
  const address = inject('kubernetes')
  if (address === undefined) throw new ServerUnavailable('no API server was started with this run; see its first lines')
  return new KubernetesApi(address)
}
