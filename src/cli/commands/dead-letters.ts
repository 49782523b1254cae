// `dead-letters list|show|redrive|purge`: what could not be delivered and why, in the embedded store or at a broker.

import { meantLetters } from '../../delivery/letter-box.ts'
import type { LetterFilter } from '../../delivery/letter-box.ts'
import { redrive } from '../../delivery/redrive.ts'
import type { HubConfig } from '../../hub/config.ts'
import { requestHeadOptions } from '../../hub/options.ts'
import { HttpInvoker } from '../../invoke/http-invoker.ts'
import { HubError, formatSize, systemClock } from '../../sdk/index.ts'
import type { EventMessage, HeldLetter, LetterBox, Trigger } from '../../sdk/index.ts'
import { VERSION } from '../../telemetry/version.ts'
import { instantText } from '../instant-text.ts'
import { choiceOf, filterOf, openBox } from '../letter-places.ts'
import type { ChoiceOptions, OpenBox, PlaceOptions } from '../letter-places.ts'
import { ratePerSecond, wholeNumber } from '../numbers.ts'
import { EXIT, counted, paint, printable, sentence, table } from '../output.ts'
import type { Output } from '../output.ts'
import { interruption } from '../signals.ts'

export interface RedriveOptions extends ChoiceOptions {
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly rate?: string
}

const TEXT_CHARS_MAX = 2000
/** For the gateway to accept an async call. */
const QUEUE_TIMEOUT_MS = 30_000
/** Removals that are on their way at once. */
const REMOVALS_MAX = 100

export async function listLetters(
  options: ChoiceOptions & { readonly limit: string },
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const limit = wholeNumber('--limit', options.limit)
  const filter = filterOf(options)
  const { signal } = interruption()
  await using open = await openBox(options, output, env, signal)
  const { box, elsewhere } = open
  const letters: HeldLetter[] = []
  let count = 0
  for await (const letter of meantLetters(box, filter, signal)) {
    count += 1
    if (letters.length < limit) letters.push(letter)
  }
  if (options.json === true) {
    output.write(`${JSON.stringify({ place: box.place, count, letters: letters.map(brief), elsewhere }, null, 2)}\n`)
    return EXIT.ok
  }
  if (count === 0) output.write(`no dead letters in ${printable(box.place)}\n`)
  else {
    const rows = letters.map(({ id, letter: { failedAtMs, function: name, message, reason } }) => [id, instantText(failedAtMs), name === '' ? '?' : name, `${message.source} ${message.topic}`, reason]) // prettier-ignore
    output.write(table(['ID', 'FAILED (UTC)', 'FUNCTION', 'FROM', 'REASON'], rows, output.color))
    output.write(`\n${counted(count, 'dead letter')}${count > letters.length ? `, the oldest ${letters.length} shown; --limit shows more` : ''}\n`) // prettier-ignore
  }
  for (const name of elsewhere) output.write(`${name} keeps its dead letters at its broker: --broker ${name}\n`)
  const sink = options.broker === undefined && options.async !== true ? sinkText(open.config) : undefined
  if (sink !== undefined) output.write(`${printable(sink)}\n`)
  return EXIT.ok
}

/** Where new ones go instead of the store. */
function sinkText({ settings: { deadLetters }, letterKeeper }: HubConfig): string | undefined {
  if (deadLetters.function !== undefined) return `new ones go to the function ${deadLetters.function}`
  if (letterKeeper === undefined) return undefined
  return `new ones go to ${letterKeeper.name}: --broker ${letterKeeper.name} --place ${deadLetters.topic}`
}

export async function showLetter(
  id: string,
  options: PlaceOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const { signal } = interruption()
  await using open = await openBox(options, output, env, signal)
  const { box } = open
  const held = await firstOf(meantLetters(box, { ids: new Set([id]) }, signal))
  if (held === undefined) throw new HubError('HUB_USAGE', `there is no dead letter ${id} in ${box.place}`, { hint: 'See connector-hub dead-letters list.' }) // prettier-ignore
  const { letter } = held
  const { message } = letter
  if (options.json === true) {
    const document = { ...brief(held), headers: message.headers, contentType: message.contentType, orderingKey: message.orderingKey, path: message.path, body: Buffer.from(message.body).toString('base64') } // prettier-ignore
    output.write(`${JSON.stringify(document, null, 2)}\n`)
    return EXIT.ok
  }
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['function', letter.function === '' ? '? (a hub did not put it there)' : letter.function],
    ['reason', letter.reason],
    ['attempts', String(letter.attempts)],
    ['failed', instantText(letter.failedAtMs)],
    ['connector', message.source],
    ['topic', message.topic],
    ['event', message.id],
    ['produced', instantText(message.timestampMs)],
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

/** @returns EXIT.problems when some failed again, EXIT.unreachable when the gateway is away, EXIT.interrupted after Ctrl-C */
export async function redriveLetters(
  ids: readonly string[],
  options: RedriveOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const filter = choiceOf(ids, options)
  const perSecond = options.rate === undefined ? undefined : ratePerSecond(options.rate)
  if (options.dryRun === true)
    return await countOnly(filter, options, output, env, 'wouldRedrive', 'would be sent again')
  const interrupted = interruption()
  const { signal } = interrupted
  await using open = await openBox(options, output, env, signal)
  const { box, config } = open
  const triggerOf = options.async === true ? queuedAgain : await triggers(open)
  await using invokers = new Invokers(config)
  const report = await redrive(
    meantLetters(box, filter, signal),
    {
      invokerOf: (source) => (options.async === true ? invokers.ofGateway() : invokers.of(source)),
      triggerOf,
      perSecond,
      clock: systemClock,
      onEach: ({ id, letter: { function: name } }, problem) => {
        if (options.json === true) output.write(`${JSON.stringify({ id, function: name, problem })}\n`)
        else output.write(`${printable(`${id}  ${name === '' ? '?' : name}`)}  ${problem === undefined ? paint(output.color, 'green', 'done') : paint(output.color, 'red', printable(problem))}\n`) // prettier-ignore
      },
    },
    signal,
  )
  const { done, failed, unreachable } = report
  if (options.json === true) output.write(`${JSON.stringify({ done, failed })}\n`)
  else if (done + failed === 0 && unreachable === undefined)
    output.write(`no such dead letters in ${printable(box.place)}\n`) // prettier-ignore
  else output.write(`\n${done} done, ${failed} failed and kept\n`)
  if (done > 0) sayRemoval(box, options, output)
  if (unreachable !== undefined) {
    output.warn(`${paint(output.warnColor, 'red', 'HUB_GATEWAY_UNREACHABLE:')} ${printable(unreachable)}. The rest is kept; try again when the gateway is back.\n`) // prettier-ignore
    return EXIT.unreachable
  }
  return interrupted.code ?? (failed > 0 ? EXIT.problems : EXIT.ok)
}

export async function purgeLetters(
  ids: readonly string[],
  options: RedriveOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const filter = choiceOf(ids, options)
  if (options.dryRun === true) return await countOnly(filter, options, output, env, 'wouldDelete', 'would be deleted')
  const interrupted = interruption()
  await using open = await openBox(options, output, env, interrupted.signal)
  const { box } = open
  let deleted = 0
  let batch: Promise<void>[] = []
  for await (const letter of meantLetters(box, filter, interrupted.signal)) {
    batch.push(letter.remove())
    if (batch.length < REMOVALS_MAX) continue
    deleted += (await Promise.all(batch)).length
    batch = []
  }
  deleted += (await Promise.all(batch)).length
  output.write(options.json === true ? `${JSON.stringify({ deleted })}\n` : `${counted(deleted, 'dead letter')} deleted\n`) // prettier-ignore
  if (deleted > 0) sayRemoval(box, options, output)
  return interrupted.code ?? EXIT.ok
}

async function countOnly(
  filter: LetterFilter,
  options: RedriveOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
  key: string,
  what: string,
): Promise<number> {
  const interrupted = interruption()
  await using open = await openBox(options, output, env, interrupted.signal)
  let count = 0
  for await (const _ of meantLetters(open.box, filter, interrupted.signal)) count += 1
  output.write(options.json === true ? `${JSON.stringify({ [key]: count })}\n` : `${counted(count, 'dead letter')} ${what}\n`) // prettier-ignore
  return interrupted.code ?? EXIT.ok
}

async function triggers(open: OpenBox): Promise<(message: EventMessage) => Trigger | undefined> {
  const wiring = await open.wiring()
  return (message) => wiring.instance(message.source)?.match(message)[0]
}

/** An async call goes back into its queue, with all of its retries and its callback. */
function queuedAgain({ topic, target = topic }: EventMessage): Trigger {
  const retry = { attempts: 0, codes: undefined, minWaitMs: 0, maxWaitMs: 0, jitter: 'none' } as const
  return {
    function: target,
    pattern: topic,
    settings: { mode: 'async', timeoutMs: QUEUE_TIMEOUT_MS, concurrency: 1, ordering: 'none', retry },
  }
}

function sayRemoval({ removal }: LetterBox, { json }: PlaceOptions, output: Output): void {
  if (removal !== undefined && json !== true) output.write(`${printable(sentence(removal))}\n`)
}

/** One for each connector, because each names itself to the functions. */
class Invokers implements AsyncDisposable {
  readonly #config: HubConfig
  readonly #bySource = new Map<string, HttpInvoker>()
  #gateway: HttpInvoker | undefined

  constructor(config: HubConfig) {
    this.#config = config
  }

  /** @param source an instance that the wiring knows */
  of(source: string): HttpInvoker {
    let invoker = this.#bySource.get(source)
    if (invoker !== undefined) return invoker
    const { instances, settings } = this.#config
    const instance = instances.find(({ name }) => name === source)
    if (instance === undefined) throw new HubError('HUB_INTERNAL', `${source} is wired and not configured`)
    invoker = new HttpInvoker({ ...requestHeadOptions(settings, instance), connectionsMax: 1, clock: systemClock })
    this.#bySource.set(source, invoker)
    return invoker
  }

  /** For calls that have all of their headers. */
  ofGateway(): HttpInvoker {
    const { gateway } = this.#config.settings
    const head = { gatewayUrl: gateway.url, connector: undefined, contentType: undefined, userAgent: `connector-hub/${VERSION}` } // prettier-ignore
    this.#gateway ??= new HttpInvoker({ ...head, connectionsMax: 1, clock: systemClock })
    return this.#gateway
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#bySource.values()].map((invoker) => invoker.close()))
    await this.#gateway?.close()
  }
}

async function firstOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item
  return undefined
}

function brief({ id, letter: { function: name, reason, status, attempts, failedAtMs, message } }: HeldLetter) {
  return {
    id,
    function: name,
    reason,
    status,
    attempts,
    failedAt: instantText(failedAtMs),
    connector: message.source,
    topic: message.topic,
    event: message.id,
    producedAt: instantText(message.timestampMs),
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
