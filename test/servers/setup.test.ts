// What `npm run servers:setup` and the start of each run set up: never Kubernetes unless that is asked for.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, expect, test, vi } from 'vitest'

import { noProgram } from '../programs/programs.ts'
import { ETCD, HELM, KUBERNETES } from './kubernetes-setup.ts'
import { noKubernetes } from './kubernetes.ts'
import { KUBERNETES_NAMES, NAMES, namesOf } from './setup.ts'

afterEach(() => vi.unstubAllEnvs())

test('without arguments: what npm test needs, and not Kubernetes', () => {
  expect(namesOf([])).toEqual(NAMES)
  expect(NAMES).toContain('nats')
  expect(NAMES).toContain('promtool')
  for (const name of ['kubernetes', 'kubectl', 'helm']) expect(NAMES).not.toContain(name)
})

test('named ones only; --with adds the group', () => {
  expect(namesOf(['promtool', 'nats'])).toEqual(['promtool', 'nats'])
  expect(namesOf(['--with', 'kubernetes'])).toEqual([...NAMES, 'kubernetes', 'kubectl', 'helm'])
  expect(namesOf(['nats', 'helm', '--with', 'kubernetes'])).toEqual(['nats', 'helm', 'kubernetes', 'kubectl', 'promtool']) // prettier-ignore
})

test('what is not known is said with what is', () => {
  expect(() => namesOf(['ntas'])).toThrow('nothing is called "ntas"; there are: nats,')
  expect(() => namesOf(['--with', 'nats'])).toThrow('--with takes "kubernetes", not "nats"')
})

test('the versions that are said are those that Go is given', () => {
  const modules = readFileSync(new URL('kubernetes-go/go.mod', import.meta.url), 'utf8')
  const pinned = (module: string): string | undefined => new RegExp(`^\\t${module} v(\\S+)$`, 'm').exec(modules)?.[1]
  expect(pinned('k8s.io/kubernetes')).toBe(KUBERNETES)
  expect(pinned('go.etcd.io/etcd/server/v3')).toBe(ETCD)
  expect(pinned('helm.sh/helm/v3')).toBe(HELM)
  // Its libraries, which its module has beside it, have the same minor and patch as it.
  const libraries = modules.matchAll(/^\tk8s\.io\/\S+ => k8s\.io\/\S+ v(\S+)$/gm)
  expect(new Set([...libraries].map((match) => match[1]))).toEqual(new Set([KUBERNETES.replace('1.', '0.')]))
})

test('a test that finds no Kubernetes says how to get one, and builds none', async () => {
  const empty = mkdtempSync(join(tmpdir(), 'hub-empty-'))
  vi.stubEnv('XDG_CACHE_HOME', empty)
  vi.stubEnv('PATH', empty)
  vi.stubEnv('HUB_TEST_REQUIRE', 'nats')
  const hint = 'not set up: npm run servers:setup -- --with kubernetes'
  expect([await noKubernetes(), await noProgram('helm'), await noProgram('kubectl')]).toEqual([hint, hint, hint])
  vi.stubEnv('HUB_TEST_REQUIRE', KUBERNETES_NAMES.join(','))
  await expect(noKubernetes()).rejects.toThrow(hint)
  await expect(noProgram('helm')).rejects.toThrow(hint)
  await expect(noProgram('promtool')).rejects.toThrow('not set up: npm run servers:setup')
  rmSync(empty, { recursive: true })
})
