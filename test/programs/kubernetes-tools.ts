// The real kubectl and helm: from the PATH where they are new enough and no API server has been built, else what is built with
// it. Tests that render or check manifests without a server: `noProgram('helm')`, `noProgram('kubectl')` of programs.ts.

import { execFileSync } from 'node:child_process'

import { builtKubernetes, findKubernetes, HELM, KUBERNETES, setUpKubernetes } from '../servers/kubernetes-setup.ts'
import type { ProvidedKubernetes } from '../servers/kubernetes-setup.ts'
import { findExecutable } from '../servers/process.ts'
import { isAtLeast } from '../servers/provide.ts'
import type { Program, Provide } from './program.ts'

interface Tool {
  readonly command: 'kubectl' | 'helm'
  /** Of what is built. */
  readonly version: string
  /** The first version that will do, and the first that will not. */
  readonly least: string
  readonly below: string
  /** Arguments that make it say its version, and nothing over the network. */
  readonly ask: readonly string[]
}

/** With server-side apply and `kustomize` as they are today. */
const KUBECTL: Tool = { command: 'kubectl', version: KUBERNETES, least: '1.31', below: '2', ask: ['version', '--client'] } // prettier-ignore
/** With `--dry-run=server`, and subcharts whose values have schemas. */
const HELM_3: Tool = { command: 'helm', version: HELM, least: '3.14', below: '4', ask: ['version', '--short'] }

/** What is there already: tests do not build them. */
export const provideKubectl: Provide = () => Promise.try(() => find(KUBECTL) ?? described(KUBECTL, builtKubernetes()))
export const provideHelm: Provide = () => Promise.try(() => find(HELM_3) ?? described(HELM_3, builtKubernetes()))

export const setUpKubectl: Provide = async (progress) => find(KUBECTL) ?? described(KUBECTL, await setUpKubernetes(progress)) // prettier-ignore
export const setUpHelm: Provide = async (progress) => find(HELM_3) ?? described(HELM_3, await setUpKubernetes(progress))

function find(tool: Tool): Program | undefined {
  const built = findKubernetes()
  return built === undefined ? onPath(tool) : described(tool, built)
}

function described({ command, version }: Tool, provided: ProvidedKubernetes): Program {
  return { command, argv: [provided[command]], version, origin: provided.origin }
}

function onPath({ command, least, below, ask }: Tool): Program | undefined {
  const path = findExecutable(command)
  if (path === undefined) return undefined
  const version = versionOf(path, ask)
  if (!isAtLeast(version, least) || isAtLeast(version, below)) return undefined
  return { command, argv: [path], version, origin: 'PATH' }
}

function versionOf(path: string, ask: readonly string[]): string {
  try {
    return /v(\d+\.\d+\.\d+)/.exec(execFileSync(path, ask, { encoding: 'utf8' }))?.[1] ?? '0'
  } catch {
    return '0' // not one that runs
  }
}
