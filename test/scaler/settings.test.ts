// The settings of the scaler: off by default, by file and by environment, and what does not belong together.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { checkHubConfig, readHubConfig } from '../../src/hub/config.ts'
import type { HubSettings } from '../../src/hub/config.ts'
import { problemText } from '../../src/sdk/index.ts'

const settings = async (env: Readonly<Record<string, string>> = {}): Promise<HubSettings['scaler']> =>
  (await readHubConfig({ env, types: ['cron'] })).settings.scaler

test('without a port there is none', async () => {
  expect(await settings()).toEqual({ host: '0.0.0.0', interval: 5000, tls: {} })
})

test('every setting has a name in the environment', async () => {
  const env = {
    HUB_SCALER_PORT: '9090',
    HUB_SCALER_HOST: '::1',
    HUB_SCALER_INTERVAL: '1m',
    HUB_SCALER_HUB: 'http://hub-pods.openfaas:8081',
    HUB_SCALER_TLS_CERT_FILE: '/tls/tls.crt',
    HUB_SCALER_TLS_KEY_FILE: '/tls/tls.key',
    HUB_SCALER_TLS_CLIENT_CA_FILE: '/tls/ca.crt',
  }
  const tls = { certFile: '/tls/tls.crt', keyFile: '/tls/tls.key', clientCaFile: '/tls/ca.crt' }
  expect(await settings(env)).toEqual({
    port: 9090,
    host: '::1',
    interval: 60_000,
    hub: 'http://hub-pods.openfaas:8081',
    tls,
  })
})

test.each([
  [{ tls: { certFile: '/a' } }, 'scaler.tls has one of certFile and keyFile, which belong together'],
  [{ tls: { clientCaFile: '/a' } }, 'scaler.tls has clientCaFile and no certificate of its own. Set certFile and keyFile, too.'], // prettier-ignore
  [{ port: 70_000 }, 'scaler.port must be at most 65535'],
  [{ interval: '1ms' }, 'scaler.interval must be at least 100ms'],
])('%j is refused', async (scaler, expected) => {
  const folder = mkdtempSync(join(tmpdir(), 'hub-settings-'))
  const file = join(folder, 'hub.yaml')
  writeFileSync(file, JSON.stringify({ scaler }))
  const { findings } = await checkHubConfig({ file, env: {} })
  rmSync(folder, { recursive: true })
  expect(findings.map(problemText).join('\n')).toContain(expected)
})
