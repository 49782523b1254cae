import { Command } from 'commander'
import { describe, expect, test } from 'vitest'

import { SETTINGS, settingOptions, withSettings } from '../../src/cli/gateway-flags.ts'
import { readGatewaySettings } from '../../src/gateway/settings.ts'

/** A value that is right and not the default. */
const SAMPLES: Readonly<Record<string, string>> = {
  function_namespace: 'mine',
  upstream_timeout: '7s',
  read_timeout: '8s',
  write_timeout: '90s',
  faas_nats_address: 'nats.example',
  faas_nats_port: '4333',
  faas_nats_channel: 'mine',
  max_inflight: '3',
  max_retry_attempts: '3',
  retry_http_codes: '418',
  initial_retry_wait: '1s',
  max_retry_wait: '600s',
  backoff: 'full',
  ack_wait: '5s',
  async_body_max: '2MiB',
  async_dead_letters_max: '8MiB',
  async_callback_timeout: '3s',
  async_drain_timeout: '3s',
}
/** What others need to be of any effect. */
const BESIDE: Readonly<Record<string, Readonly<Record<string, string>>>> = { faas_nats_port: { faas_nats_address: 'nats.example' } } // prettier-ignore

/** Of the command line as a user types it. */
function settingsOf(args: readonly string[], env: Readonly<Record<string, string>>): unknown {
  const command = new Command().exitOverride()
  for (const option of settingOptions()) command.addOption(option)
  const options = command.parse([...args], { from: 'user' }).opts()
  return readGatewaySettings(withSettings(env, options)).settings
}

describe.for(Object.keys(SETTINGS))('%s', (name) => {
  const flag = `--${name.replaceAll('_', '-')}`
  const value = SAMPLES[name]
  const beside = BESIDE[name] ?? {}

  test('means the same on the command line and in the environment, and has an effect', () => {
    const given = settingsOf(value === undefined ? [flag] : [flag, value], beside)
    expect(given).toEqual(settingsOf([], { ...beside, [name]: value ?? 'true' }))
    expect(given).not.toEqual(settingsOf([], beside))
  })
})

test('what is given on the command line comes first', () => {
  expect(settingsOf(['--max-inflight', '3'], { max_inflight: '9' })).toEqual(settingsOf([], { max_inflight: '3' }))
})
