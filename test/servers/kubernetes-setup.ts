// Where a Kubernetes API server, its etcd, kubectl and helm come from: the cache, else one build of all four by Go's own tool from
// versions and checksums pinned in kubernetes-go. Runs nothing that stays.

import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'

import { cacheFolder, fillCache } from './cache.ts'
import { goBuild } from './go-build.ts'
import { findExecutable } from './process.ts'
import { ServerUnavailable } from './provide.ts'
import type { Progress, Provided } from './provide.ts'

/** As in kubernetes-go/go.mod. */
export const KUBERNETES = '1.35.4'
export const ETCD = '3.6.5'
export const HELM = '3.20.2'

const CACHED = `${KUBERNETES}-etcd-${ETCD}-helm-${HELM}`
const MODULE = new URL('kubernetes-go', import.meta.url).pathname
const PACKAGES = [
  'k8s.io/kubernetes/cmd/kube-apiserver',
  'k8s.io/kubernetes/cmd/kubectl',
  'helm.sh/helm/v3/cmd/helm',
  'go.etcd.io/etcd/server/v3',
] as const
/** Named by Go after the folder of the last. */
const ETCD_COMMAND = 'server'

/** A build of another module than their own does not know its version. */
const [MAJOR, MINOR] = KUBERNETES.split('.') as [string, string]
const VERSIONS: Readonly<Record<string, string>> = {
  'k8s.io/component-base/version.gitVersion': `v${KUBERNETES}`,
  'k8s.io/component-base/version.gitMajor': MAJOR,
  'k8s.io/component-base/version.gitMinor': MINOR,
  'k8s.io/component-base/version.gitTreeState': 'clean',
  'helm.sh/helm/v3/internal/version.version': `v${HELM}`,
  'helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor': MAJOR,
  'helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor': MINOR,
  'helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor': MAJOR,
  'helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor': MINOR,
}

/** Six minutes on two idle processors, twenty and more on two busy ones; 1.5 GB of memory and 3 GB on disk meanwhile. */
const LIMIT_MS = 5_400_000

export interface ProvidedKubernetes extends Provided {
  readonly apiserver: string
  readonly etcd: string
  readonly kubectl: string
  readonly helm: string
}

/** What is there already. Fast; changes nothing. */
export function findKubernetes(): ProvidedKubernetes | undefined {
  const folder = cacheFolder('kubernetes', CACHED)
  return existsSync(folder) ? described(folder, 'cache, built with go') : undefined
}

/**
 * What is there already. Tests do not build it themselves: that takes long, and a run without them is not to wait for it.
 * @throws ServerUnavailable
 */
export function builtKubernetes(): ProvidedKubernetes {
  const found = findKubernetes()
  if (found === undefined) throw new ServerUnavailable('not set up: npm run servers:setup -- --with kubernetes')
  return found
}

/**
 * What is there already, else a build, which takes long. Whoever asks while it goes on waits for the same one, and hears of the
 * same failure.
 * @throws ServerUnavailable
 */
export async function setUpKubernetes(progress: Progress): Promise<ProvidedKubernetes> {
  return findKubernetes() ?? (await (attempt ??= build(progress)))
}

let attempt: Promise<ProvidedKubernetes> | undefined

async function build(progress: Progress): Promise<ProvidedKubernetes> {
  const go = findExecutable('go')
  if (go === undefined) throw new ServerUnavailable('no go to build kube-apiserver, etcd, kubectl and helm')
  const linkerFlags = Object.entries(VERSIONS)
    .map(([name, version]) => `-X ${name}=${version}`)
    .join(' ')
  const what = `Kubernetes ${KUBERNETES} (kube-apiserver, kubectl), etcd ${ETCD} and helm ${HELM}`
  const commands = { go, module: MODULE, packages: PACKAGES, what, limitMs: LIMIT_MS, progress, linkerFlags, flags: FLAGS } // prettier-ignore
  try {
    const folder = await fillCache('kubernetes', CACHED, async (staging) => {
      await goBuild(staging, commands)
      renameSync(join(staging, ETCD_COMMAND), join(staging, 'etcd'))
    })
    return described(folder, 'built with go')
  } catch (error) {
    const reason = (error as Error).message.replaceAll(/\s*\n\s*/g, '; ')
    throw new ServerUnavailable(`Kubernetes: ${reason}`, { cause: error })
  }
}

/** Nobody debugs them. Without optimizing they would build in nine tenths of the time, and take twice as long to start. */
const FLAGS = ['-gcflags=all=-dwarf=false']

function described(folder: string, origin: string): ProvidedKubernetes {
  const [apiserver, etcd, kubectl, helm] = [join(folder, 'kube-apiserver'), join(folder, 'etcd'), join(folder, 'kubectl'), join(folder, 'helm')] as const // prettier-ignore
  return { version: KUBERNETES, origin, apiserver, etcd, kubectl, helm }
}
