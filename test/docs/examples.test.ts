// Every example of every README is run: commands by a shell in the world of a user, YAML by wiring it. An example that
// nobody runs fails here by name. Those that call programs of other people are run by programs.test.ts.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { load } from 'js-yaml'

import { buildWiring } from '../../src/discovery/index.ts'
import { checkHubConfig } from '../../src/hub/config.ts'
import { builtInTypes, loadManifest } from '../../src/hub/registry.ts'
import { World } from '../cli/world.ts'
import type { Expected } from '../cli/world.ts'
import { defaults } from '../discovery/fixtures.ts'
import { runHub, until } from '../hub/rig.ts'
import { freePort } from '../servers/process.ts'
import { PROGRAM_EXAMPLES } from './program-examples.ts'
import { EXAMPLES, firstLine, ROOT } from './readme-examples.ts'
import type { Example } from './readme-examples.ts'

let world: World
beforeAll(async () => void (world = await World.start()))
afterAll(() => world[Symbol.asyncDispose]())

/** Lines of the main README that a shell runs as they are. */
const LINES: Readonly<Record<string, () => Expected>> = {
  'connector-hub plan --stack stack.yaml': () => ({ says: /NEXT FIRE[^]*report/ }),
  'connector-hub lint --stack stack.yaml': () => ({ says: /nothing to correct/ }),
  'gateway_url=http://127.0.0.1:8080 connector-hub run cron': () => ({ says: /Wired \d/, endless: true }),
}

/** Snippets of the table of commands, as a user types them after `connector-hub`. */
const COMMANDS: Readonly<Record<string, () => Expected>> = {
  plan: () => ({ says: /sensors\/#\s+thermometer/ }),
  'plan --against plan.json': () => ({ says: /No difference/ }),
  lint: () => ({ says: /nothing to correct/ }),
  'explain --connector mqtt --topic sensors/1/temp --data 21.5': () => ({ says: /thermometer\S* +yes/ }),
  'explain --from event.json': () => ({ says: /thermometer\S* +yes/ }),
  'explain --event <id>': () => ({ says: /not in flight/, code: 1, more: `--hub ${world.running.hub.adminAddress}` }),
  'explain --topic sensors/1/temp --hub http://127.0.0.1:8081': () => ({ says: /thermometer\S* +yes/ }),
  'dry-run mqtt --for 10s': () => ({ says: /thermometer\S* +yes/, more: '--count 1', meanwhile: () => world.publish('sensors/1/temp', '1') }), // prettier-ignore
  'emit mqtt sensors/1/temp --data 21.5 --count 10 --rate 2': () => ({ says: /^10 events taken by/m, more: '--rate 1000' }), // prettier-ignore
  'doctor -c hub.yaml': () => ({ says: /0 failed/ }),
  tail: () => ({ says: /✓ mqtt sensors/, endless: true, more: hub(), meanwhile: () => world.publish('sensors/1/temp', '1') }), // prettier-ignore
  'tail --outcome failed --json': () => ({ says: /"result":"deadLettered"/, endless: true, more: hub(), meanwhile: () => world.publish('alarms/1', '1') }), // prettier-ignore
  'dead-letters list': () => ({ says: /7 dead letters/ }),
  show: () => ({ says: /answered 500/, more: '7' }),
  redrive: () => ({ says: /7 dead letters would/, more: '--all --dry-run' }),
  purge: () => ({ says: /7 dead letters would/, more: '--all --dry-run' }),
  'cron next "30 1 * * *" --zone Europe/London': () => ({ says: /01:30/ }),
  'cron next "*/20 * * * *" --simulate-down 02:10-05:40': () => ({ says: /02:20/ }),
  'create kafka --dir my-hub': () => ({ says: /my-hub/ }),
  'completion bash': () => ({ says: /complete -o default/ }),
}

/** Code in the second column of the table below Operating. */
function tableOfCommands(): readonly string[] {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const section = text.split(/^## /m).find((part) => part.startsWith('Operating')) ?? ''
  const cells = [...section.matchAll(/^\| (?:[^|]*) \| (`.*) \|$/gm)].map(([, cell = '']) => cell)
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code))
}

/** Without what is said about it. */
function commandOf(line: string): string {
  return line.replace(/ +# .*$/, '')
}

const hub = (): string => `--hub ${world.running.hub.adminAddress}`

/** In the world the usual addresses are others. */
function localised(line: string): string {
  return line.replaceAll('http://127.0.0.1:8080', world.gateway.url).replaceAll('http://127.0.0.1:8081', String(world.running.hub.adminAddress)).replace('<id>', 'unknown') // prettier-ignore
}

/** By programs.test.ts, and those of deploy/examples by the tests of test/examples, which count them. */
const isElsewhere = (example: Example): boolean =>
  firstLine(example) in PROGRAM_EXAMPLES || example.file.startsWith('deploy/examples/')

describe('README.md', () => {
  const own = EXAMPLES.filter(({ file }) => file === 'README.md')
  const fileNamed = (name: string): string => own.find((example) => firstLine(example) === `# ${name}`)?.text ?? ''

  test('has examples that are all known', () => {
    const shell = own.filter(({ language }) => language === 'sh').flatMap(({ text }) => text.trim().split('\n'))
    expect(shell.map(commandOf)).toEqual(['npm ci && npm start', 'npm ci && npm test', 'npm run test:faults', 'npm run test:kubernetes', ...Object.keys(LINES)]) // prettier-ignore
    expect(own.filter(({ language }) => language === 'yaml').map(firstLine)).toEqual(['# stack.yaml', '# hub.yaml'])
  })

  test('the configuration for letters elsewhere', async () => {
    world.file('letters.yaml', fileNamed('hub.yaml'))
    const { config, findings } = await checkHubConfig({ file: join(world.folder, 'letters.yaml'), env: {} })
    expect(findings).toEqual([])
    expect(config?.letterKeeper).toMatchObject({ name: 'kafka', source: { brokers: ['kafka:9092'] } })
    expect(config?.settings.deadLetters).toMatchObject({ topic: 'dead-letters' })
  })

  test('what npm sets up and tests is what runs for every change', () => {
    const run = readFileSync(join(ROOT, '.ci/run'), 'utf8')
    for (const command of ['npm ci', 'npm test', 'npm run test:faults', 'npm run test:kubernetes'])
      expect(run).toMatch(new RegExp(`^(HUB_TEST_REQUIRE=\\S+ )?${command} --`, 'm'))
  })

  test('npm start', async () => {
    const [code, said] = await world.run('npm start --', { says: /Wired 4 triggers of 4 functions/, endless: true, more: '--port 0' }, ROOT) // prettier-ignore
    expect([code, said]).toEqual([130, expect.stringMatching(/mqtt: received \d+ = /)])
  })

  test('npm run demo, with the table that stands there', async () => {
    // A busy machine sees more fires of the schedule.
    const rows = (text: string): unknown =>
      /^SOURCE.*\n(?:\w+ .*\n)*/m.exec(text)?.[0].replaceAll(/^(cron) +(\d+) +\2 +\2 +\2 +/gm, '$1 ')
    const [code, said] = await world.run('npm run -s demo', { says: /SUMS AGREE/ }, ROOT)
    expect([code, rows(said)]).toEqual([0, rows(own.find(({ text }) => text.startsWith('SOURCE'))?.text ?? '')])
  })

  test.for(Object.entries(LINES))('%s', async ([line, expected]) => {
    // The file of the example before the commands.
    world.file('stack.yaml', fileNamed('stack.yaml'))
    const { says, endless } = expected()
    expect(await world.run(localised(line), expected())).toEqual([endless === true ? 130 : 0, expect.stringMatching(says)]) // prettier-ignore
  })
})

describe('the table of commands', () => {
  const snippets = tableOfCommands()

  test('has no command that is not run', () => {
    expect([...snippets].toSorted()).toEqual(Object.keys(COMMANDS).toSorted())
  })

  test.for(Object.entries(COMMANDS))('%s', { timeout: 120_000 }, async ([snippet, expected]) => {
    world.furnish()
    if (snippet.includes('plan.json')) await world.run('connector-hub plan --json > plan.json', { says: /^$/ })
    const name = ['show', 'redrive', 'purge'].includes(snippet) ? `dead-letters ${snippet}` : snippet
    const { says, endless, code = endless === true ? 130 : 0 } = expected()
    expect(await world.run(localised(`connector-hub ${name}`), expected())).toEqual([code, expect.stringMatching(says)])
  })
})

describe.each(builtInTypes())('connectors/%s/README.md', (type) => {
  const own = EXAMPLES.filter(({ file }) => file === `connectors/${type}/README.md`)

  test.for(own.filter(({ language }) => language === 'yaml'))(
    'its annotations wire without a finding: $text',
    async ({ text }) => {
      const { annotations } = load(text) as { annotations: Readonly<Record<string, string>> }
      const { trigger, capabilities } = await loadManifest(type)
      const instance = { name: type, type, trigger, topicSyntax: capabilities.topicSyntax }
      const info = { name: 'f', namespace: '', fullName: 'f', annotations }
      const options = { instances: [instance], delimiter: ',', defaults }
      const wiring = buildWiring({ functions: [info], takenAtMs: 0, findings: [] }, options)
      expect([wiring.findings, wiring.triggers > 0]).toEqual([[], true])
    },
  )
})

describe('other examples in a shell', () => {
  const shell = EXAMPLES.filter(
    (example) => example.file !== 'README.md' && example.language === 'sh' && !isElsewhere(example),
  )

  test.for(shell)('$file: $text', async ({ file, text }) => {
    expect(file).toBe('connectors/webhook/README.md')
    const port = await freePort()
    const hooks = {
      type: 'webhook',
      listen: { port },
      hooks: [{ name: 'github', scheme: 'github', secret: 'it is secret' }],
    }
    world.gateway.functions = { build: { topic: 'github:push' } }
    world.file('hub.yaml', JSON.stringify({ connectors: { hooks } }))
    await using running = await runHub(world.gateway.url, {}, { overlay: { hooks } })
    await until(() => running.hub.status.every(({ state }) => state === 'active'), 'the hook is there')
    const [code, said] = await world.run(
      `SECRET='it is secret'; set -e; ${text.trim().replaceAll('127.0.0.1:8090', `127.0.0.1:${port}`)}`,
      { says: /./ },
    )
    expect([code, said]).toEqual([0, expect.not.stringMatching(/refused|not found/)])
    await until(() => world.gateway.invoked.some(({ function: name }) => name === 'build'), 'the function has it')
    world.gateway.invoked.length = 0
  })
})
