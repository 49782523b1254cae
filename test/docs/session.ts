// `npm run session`: works with the quickstart as a person does, in a shell, and writes what was seen into the README.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { CliProcess, cli } from '../cli/cli.ts'

const ROOT = join(import.meta.dirname, '../..')
const README = join(ROOT, 'README.md')
const STACK = 'deploy/examples/quickstart/stack.yaml'
const BEGIN = '<!-- session:begin -->'
const END = '<!-- session:end -->'

/** What a person types in the second terminal, and what they see. */
async function typed(line: string, env: Readonly<Record<string, string>>): Promise<string> {
  const args = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
  const { stdout, stderr } = await cli(args.slice(1), { env, cwd: ROOT })
  return `$ ${line}\n${stdout}${stderr}`
}

/** The whole session, real output throughout. */
export async function recordSession(): Promise<string> {
  await using dev = new CliProcess(['dev', STACK, '--port', '0'], { cwd: ROOT })
  const [, broker = ''] = await dev.says(/mqtt +(mqtt:\S+)/)
  for (const connector of ['cron', 'mqtt']) await dev.says(new RegExp(`${connector} subscribed to .*\\n`))
  const env = { HUB_MQTT_URL: broker }
  const shown = dev.stdout.length
  // A timer may have fired already.
  const begun = dev.stdout.trimEnd().split('\n').filter((line) => !/→ tick\S* +200/.test(line)).join('\n') // prettier-ignore
  const explained = await typed(`connector-hub explain --connector mqtt --topic words/greeting --data hello --stack ${STACK}`, env) // prettier-ignore
  const dry = new CliProcess(['dry-run', 'mqtt', '--stack', STACK, '--count', '1'], { env, cwd: ROOT })
  await dry.says(/^mqtt /m)
  const emitted = await typed(`connector-hub emit mqtt words/greeting --data 'hello, hub'`, env)
  const { stdout, stderr } = await dry.ended()
  const looked = `$ connector-hub dry-run mqtt --stack ${STACK} --count 1\n${stderr}${stdout}`
  // Upper publishes before it answers, so the order of their ends is open.
  for (const name of ['upper', 'count', 'announce']) await dev.says(new RegExp(`→ ${name}\\S* +200`))
  const deliveries = dev.stdout.slice(shown).split('\n').filter((line) => /words|shouted/.test(line)).toSorted().join('\n') // prettier-ignore
  const fires = await typed(`connector-hub cron next '30 1 * * *' --zone Europe/London --from 2026-03-27T00:00:00Z --count 3`, env) // prettier-ignore
  dev.signal('SIGINT')
  const { stdout: all } = await dev.ended()
  const totals = all.split('\n').filter((line) => /^\w+: received/.test(line)).join('\n') // prettier-ignore
  return [
    `$ connector-hub dev ${STACK}\n${begun}\n`,
    '# in a second terminal: what would an event do?',
    explained,
    "# looking at the broker's events while one is published; nothing is consumed by that",
    looked,
    emitted,
    '# meanwhile in the first terminal: one function calls the next, the third heard it, too',
    `${deliveries}\n`,
    '# clocks go forward on the 29th: 01:30 does not exist there',
    fires,
    '# Ctrl-C: nothing is left in flight, and the books are balanced',
    totals,
  ]
    .join('\n')
    .trimEnd()
}

/** The session in the README. */
export function writtenSession(): string {
  const text = readFileSync(README, 'utf8')
  const block = text.slice(text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END))
  return /```console\n([\s\S]*?)\n```/.exec(block)?.[1] ?? ''
}

/** What differs from one recording to the next is only time, order in time, addresses and names that are made anew. */
export function normalised(session: string): readonly string[] {
  const text = session
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '<time>')
    .replaceAll(/\b\d\d:\d\d:\d\d\b/g, '<time>')
    .replaceAll(/\b\d+(?:\.\d+)?m?s\b/g, '<duration>')
    .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:<port>')
    .replaceAll(/#\d+-[0-9a-f]+/g, '#<packet>')
    .replaceAll(/(Packet-Id: )\d+/g, '$1<packet>')
    .replaceAll(/(connector-hub-peek-)[0-9a-f]+/g, '$1<name>')
    .replaceAll(/(cron: received )\d+ = acked \d+/g, '$1<count> = acked <count>')
  return text.split('\n').toSorted()
}

if (process.argv[1] === import.meta.filename) {
  const session = await recordSession()
  const text = readFileSync(README, 'utf8')
  const block = `${BEGIN}\n\n\`\`\`console\n${session}\n\`\`\`\n\n`
  writeFileSync(README, text.slice(0, text.indexOf(BEGIN)) + block + text.slice(text.indexOf(END)))
  process.stdout.write(`${session}\n`)
}
