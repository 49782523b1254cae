// `dead-letters list|show|redrive|purge`: what could not be delivered and why, in the embedded store.

import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { SqliteDeadLetters, isNumbers } from '../../delivery/dead-letters.ts'
import type { LetterFilter, StoredDeadLetter } from '../../delivery/dead-letters.ts'
import { redrive } from '../../delivery/redrive.ts'
import { buildWiring } from '../../discovery/index.ts'
import { readHubConfig } from '../../hub/config.ts'
import type { HubConfig } from '../../hub/config.ts'
import { wiringOptions } from '../../hub/hub.ts'
import { HttpInvoker } from '../../invoke/http-invoker.ts'
import { HubError, formatSize, systemClock } from '../../sdk/index.ts'
import { VERSION } from '../../telemetry/version.ts'
import { ratePerSecond, wholeNumber } from '../numbers.ts'
import { EXIT, counted, paint, printable, table } from '../output.ts'
import type { Output } from '../output.ts'
import { functionsOfGateway } from './sources.ts'

export interface StoreOptions {
  readonly config?: string
  readonly stateDir?: string
  readonly json?: boolean
}

export interface ChoiceOptions extends StoreOptions {
  readonly function?: string
  readonly topic?: string
  readonly connector?: string
  readonly before?: string
}

export interface RedriveOptions extends ChoiceOptions {
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly rate?: string
}

const TEXT_CHARS_MAX = 2000

export async function listLetters(
  options: ChoiceOptions & { readonly limit: string },
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  // prettier-ignore
  const limit = wholeNumber('--limit', options.limit)
  using store = await openStore(options, env)
  const filter = filterOf(options)
  const letters = store.letters?.list(limit, 0, filter) ?? []
  const count = store.letters?.count(filter) ?? 0
  if (options.json === true) output.write(`${JSON.stringify({ count, letters: letters.map(brief) }, null, 2)}\n`)
  else if (letters.length === 0) output.write(`no dead letters in ${printable(store.path)}\n`)
  else {
    const rows = letters.map(({ number, failedAtMs, function: name, message, reason }) => [String(number), new Date(failedAtMs).toISOString(), name, `${message.source} ${message.topic}`, reason]) // prettier-ignore
    output.write(table(['NUMBER', 'FAILED (UTC)', 'FUNCTION', 'FROM', 'REASON'], rows, output.color))
    output.write(`\n${counted(count, 'dead letter')}${count > letters.length ? `, the oldest ${letters.length} shown; --limit shows more` : ''}\n`) // prettier-ignore
  }
  return EXIT.ok
}

export async function showLetter(
  number: string,
  options: StoreOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  // prettier-ignore
  using store = await openStore(options, env)
  const letter = store.letters?.get(wholeNumber('the number', number))
  if (letter === undefined) throw new HubError('HUB_USAGE', `there is no dead letter ${number} in ${store.path}`, { hint: 'See connector-hub dead-letters list.' }) // prettier-ignore
  const { message } = letter
  if (options.json === true) {
    const document = { ...brief(letter), headers: message.headers, contentType: message.contentType, orderingKey: message.orderingKey, path: message.path, body: Buffer.from(message.body).toString('base64') } // prettier-ignore
    output.write(`${JSON.stringify(document, null, 2)}\n`)
    return EXIT.ok
  }
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['function', letter.function],
    ['reason', letter.reason],
    ['attempts', String(letter.attempts)],
    ['failed', new Date(letter.failedAtMs).toISOString()],
    ['connector', message.source],
    ['topic', message.topic],
    ['event', message.id],
    ['produced', new Date(message.timestampMs).toISOString()],
    ['key', message.orderingKey],
    ['path', message.path],
    ['content type', message.contentType],
    ...Object.entries(message.headers),
  ]
  const known = facts.filter(([, value]) => value !== undefined)
  const width = Math.max(...known.map(([name]) => name.length))
  for (const [name, value = ''] of known) output.write(`${paint(output.color, 'bold', printable(name.padEnd(width)))}  ${printable(value)}\n`) // prettier-ignore
  output.write(`\n${bodyText(message.body)}\n`)
  return EXIT.ok
}

/** @returns EXIT.problems when some failed again, EXIT.unreachable when the gateway is away */
export async function redriveLetters(
  numbers: readonly string[],
  options: RedriveOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  // prettier-ignore
  const which = choiceOf(numbers, options)
  const perSecond = options.rate === undefined ? undefined : ratePerSecond(options.rate)
  using store = await openStore(options, env)
  const total = store.letters === undefined ? 0 : counting(store.letters, which)
  if (options.dryRun === true) {
    if (options.json === true) output.write(`${JSON.stringify({ wouldRedrive: total })}\n`)
    else output.write(`${counted(total, 'dead letter')} would be sent again\n`)
    return EXIT.ok
  }
  if (store.letters === undefined || total === 0) {
    output.write(
      options.json === true ? '{"done":0,"failed":0}\n' : `no such dead letters in ${printable(store.path)}\n`,
    )
    return EXIT.ok
  }
  const { snapshot } = await functionsOfGateway(store.config)
  const wiring = buildWiring(snapshot, wiringOptions(store.config))
  await using invokers = new Invokers(store.config)
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal)
  try {
    const report = await redrive(
      which,
      {
        letters: store.letters,
        invokerOf: (source) => invokers.of(source),
        triggerOf: (message) => wiring.instance(message.source)?.match(message)[0],
        perSecond,
        clock: systemClock,
        onEach: ({ number, function: name }, problem) => {
          if (options.json === true) output.write(`${JSON.stringify({ number, function: name, problem })}\n`)
          else output.write(`${number}  ${printable(name)}  ${problem === undefined ? paint(output.color, 'green', 'done') : paint(output.color, 'red', printable(problem))}\n`) // prettier-ignore
        },
      },
      stop.signal,
    )
    const left = total - report.done - report.failed
    if (options.json === true) output.write(`${JSON.stringify({ done: report.done, failed: report.failed, left })}\n`)
    else output.write(`\n${report.done} done, ${report.failed} failed and kept, ${left} not tried\n`)
    if (report.unreachable !== undefined) {
      output.warn(`${paint(output.warnColor, 'red', 'HUB_GATEWAY_UNREACHABLE:')} ${printable(report.unreachable)}. The rest is kept; try again when the gateway is back.\n`) // prettier-ignore
      return EXIT.unreachable
    }
    return report.failed > 0 || left > 0 ? EXIT.problems : EXIT.ok
  } finally {
    process.removeListener('SIGINT', onSignal)
  }
}

export async function purgeLetters(
  numbers: readonly string[],
  options: RedriveOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  // prettier-ignore
  const which = choiceOf(numbers, options)
  using store = await openStore(options, env)
  const total = store.letters === undefined ? 0 : counting(store.letters, which)
  if (options.dryRun === true) {
    output.write(options.json === true ? `${JSON.stringify({ wouldDelete: total })}\n` : `${counted(total, 'dead letter')} would be deleted\n`) // prettier-ignore
    return EXIT.ok
  }
  const deleted = store.letters === undefined ? 0 : await store.letters.purge(which)
  output.write(
    options.json === true ? `${JSON.stringify({ deleted })}\n` : `${counted(deleted, 'dead letter')} deleted\n`,
  )
  return EXIT.ok
}

/** One for each connector, because each names itself to the functions. */
class Invokers implements AsyncDisposable {
  readonly #config: HubConfig
  readonly #bySource = new Map<string, HttpInvoker>()

  constructor(config: HubConfig) {
    this.#config = config
  }

  of(source: string): HttpInvoker {
    let invoker = this.#bySource.get(source)
    if (invoker !== undefined) return invoker
    const { instances, settings } = this.#config
    const instance = instances.find(({ name }) => name === source)
    invoker = new HttpInvoker({
      gatewayUrl: settings.gateway.url,
      connector: `${instance?.manifest.name ?? source}-connector`,
      contentType: instance?.settings.contentType ?? settings.defaults.contentType,
      userAgent: `connector-hub/${VERSION}`,
      connectionsMax: 1,
      clock: systemClock,
    })
    this.#bySource.set(source, invoker)
    return invoker
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#bySource.values()].map((invoker) => invoker.close()))
  }
}

interface OpenStore extends Disposable {
  readonly config: HubConfig
  readonly path: string
  /** Undefined when there is no such file, which is then not made. */
  readonly letters: SqliteDeadLetters | undefined
}

/** @throws HubError HUB_STATE_UNUSABLE, and of the configuration */
async function openStore({ config: file, stateDir }: StoreOptions, env: NodeJS.ProcessEnv): Promise<OpenStore> {
  const config = await readHubConfig({ env, ...(file === undefined ? {} : { file }) })
  const path = join(stateDir ?? config.settings.stateDir, 'dead-letters.db')
  const letters = existsSync(path) ? new SqliteDeadLetters(path) : undefined
  return { config, path, letters, [Symbol.dispose]: () => letters?.close() }
}

/** Nothing is chosen by leaving everything out. @throws HubError HUB_USAGE */
function choiceOf(numbers: readonly string[], options: RedriveOptions): readonly number[] | LetterFilter {
  const filter = filterOf(options)
  const isFiltered = Object.values(filter).some((value) => value !== undefined)
  if (numbers.length > 0) {
    if (isFiltered || options.all === true) throw new HubError('HUB_USAGE', 'numbers and other choices exclude each other', { hint: 'Name numbers, or --function, --topic, --connector, --before, or --all.' }) // prettier-ignore
    return numbers.map((number) => wholeNumber('the number', number))
  }
  if (!isFiltered && options.all !== true) throw new HubError('HUB_USAGE', 'which dead letters is not said', { hint: 'Name numbers, or --function, --topic, --connector, --before, or --all.' }) // prettier-ignore
  return filter
}

function filterOf({ function: name, topic, connector, before }: ChoiceOptions): LetterFilter {
  const beforeMs = before === undefined ? undefined : Date.parse(before)
  if (Number.isNaN(beforeMs)) throw new HubError('HUB_USAGE', `--before ${before} is not a date`, { hint: 'Write an ISO date such as 2026-03-29T00:00:00Z.' }) // prettier-ignore
  return { function: name, topic, source: connector, beforeMs }
}

function counting(letters: SqliteDeadLetters, which: readonly number[] | LetterFilter): number {
  if (!isNumbers(which)) return letters.count(which)
  return which.filter((number) => letters.get(number) !== undefined).length
}

function brief({ number, failedAtMs, function: name, reason, status, attempts, message }: StoredDeadLetter) {
  return {
    number,
    function: name,
    reason,
    status,
    attempts,
    failedAt: new Date(failedAtMs).toISOString(),
    connector: message.source,
    topic: message.topic,
    event: message.id,
    producedAt: new Date(message.timestampMs).toISOString(),
    bytes: message.body.byteLength,
  }
}

/** Text as text, cut where it is long; anything else by its size. */
function bodyText(body: Uint8Array): string {
  const text = Buffer.from(body).toString()
  if (body.byteLength === 0) return '(no body)'
  if (text.includes('\uFFFD')) return `(${formatSize(body.byteLength)} that are no text; --json has them in base64)`
  const shown = text.slice(0, TEXT_CHARS_MAX)
  const lines = shown.split('\n').map((line) => printable(line)).join('\n') // prettier-ignore
  return text.length > TEXT_CHARS_MAX ? `${lines}\n… ${formatSize(body.byteLength)} in all; --json has the rest` : lines
}
