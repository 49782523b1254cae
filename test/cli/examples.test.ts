// Each command's `--help` has an example; here a shell runs it as it is printed.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { cli } from './cli.ts'
import { World } from './world.ts'
import type { Expected } from './world.ts'

let world: World
beforeAll(async () => void (world = await World.start()))
afterAll(() => world[Symbol.asyncDispose]())

const EXAMPLES: Readonly<Record<string, () => Expected>> = {
  run: () => ({ says: /Wired \d triggers of 3 functions/, endless: true }),
  dev: () => ({ says: /Wired 4 triggers of 4 functions/, endless: true, more: '--port 0' }),
  gateway: () => ({ says: /gateway +http:\/\/127\.0\.0\.1:\d+/, endless: true, more: '--port 0' }),
  scaler: () => ({ says: /KEDA is answered at \S+:\d+/, endless: true }),
  plan: () => ({ says: /sensors\/#\s+thermometer/ }),
  'dry-run': () => ({ says: /thermometer\S* +yes {2}topic sensors\/#/, more: '--count 1', meanwhile: () => world.publish('sensors/1/temp', '21.5') }), // prettier-ignore
  explain: () => ({ says: /thermometer\S* +yes {2}topic sensors\/#/ }),
  emit: () => ({ says: /^1 event taken by /m }),
  lint: () => ({ says: /nothing to correct/ }),
  doctor: () => ({ says: /0 failed/ }),
  tail: () => ({ says: /✗ mqtt alarms\/1 → fails/, endless: true, more: `--hub ${world.running.hub.adminAddress}`, meanwhile: () => world.publish('alarms/1', 'fire') }), // prettier-ignore
  list: () => ({ says: /^kafka +beta/m }),
  create: () => ({ says: /my-hub/ }),
  'cron next': () => ({ says: /2026-03-29/ }),
  completion: () => ({ says: /^$/ }),
  'dead-letters list': () => ({ says: /^7 dead letters$/m }),
  'dead-letters show': () => ({ says: /reason +answered 500/ }),
  'dead-letters redrive': () => ({ says: /7 dead letters would be sent again/ }),
  'dead-letters purge': () => ({ says: /7 dead letters would be deleted/ }),
}

/** Every command that does something, found as a user finds them. */
async function commands(path: readonly string[] = []): Promise<readonly string[]> {
  const { stdout } = await cli([...path, '--help'])
  const list = /\nCommands:\n([\s\S]*?)(?:\n\n|$)/.exec(stdout)?.[1] ?? ''
  const names = [...list.matchAll(/^ {2}([a-z-]+)/gm)].flatMap(([, name]) => (name === 'help' || name === undefined ? [] : [name])) // prettier-ignore
  if (names.length === 0) return [path.join(' ')]
  return (await Promise.all(names.map((name) => commands([...path, name])))).flat()
}

test('every command is here', async () => {
  expect([...(await commands())].toSorted()).toEqual(Object.keys(EXAMPLES).toSorted())
})

test.for(Object.entries(EXAMPLES))('%s', { timeout: 120_000 }, async ([name, expected]) => {
  const { stdout: help } = await cli([...name.split(' '), '--help'])
  const [, example = ''] = /\nExample:\n {2}(.*)\n/.exec(help) ?? []
  expect(example).toContain(`connector-hub ${name} `.trimEnd())
  const { says, endless } = expected()
  expect(await world.run(example, expected())).toEqual([endless === true ? 130 : 0, expect.stringMatching(says)])
})

test('completion has written what its example says', () => {
  expect(readFileSync(join(world.folder, '.bashrc'), 'utf8')).toContain('complete -o default -F _connector_hub connector-hub') // prettier-ignore
})
