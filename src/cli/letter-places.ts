// Where the dead letters are that a command is about: in the embedded store, or at the broker of an instance.

import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { SqliteDeadLetters } from '../delivery/dead-letters.ts'
import { storeBox } from '../delivery/letter-box.ts'
import type { LetterFilter } from '../delivery/letter-box.ts'
import { buildWiring } from '../discovery/index.ts'
import type { Wiring } from '../discovery/index.ts'
import type { HubConfig } from '../hub/config.ts'
import { instanceNamed, wiringOptions } from '../hub/options.ts'
import { openTools } from '../hub/tools.ts'
import { HubError, systemClock } from '../sdk/index.ts'
import type { LetterBox } from '../sdk/index.ts'
import { GATEWAY_STATE_DIR } from './gateway-flags.ts'
import { dateOf } from './numbers.ts'
import { paint, printable, sentence } from './output.ts'
import type { Output } from './output.ts'
import { personLog } from './person-log.ts'
import { configOf, functionsNow } from './commands/sources.ts'

/** Of every command about dead letters. */
export interface PlaceOptions {
  readonly config?: string
  /** Instance whose broker keeps them, instead of the store. */
  readonly broker?: string
  /** Async calls of the bundled gateway, instead of events. */
  readonly async?: boolean
  /** Queues or topics there, where the configuration does not say. */
  readonly place?: readonly string[]
  readonly stateDir?: string
  readonly json?: boolean
}

export interface ChoiceOptions extends PlaceOptions {
  readonly function?: string
  readonly topic?: string
  readonly connector?: string
  readonly before?: string
}

export interface OpenBox extends AsyncDisposable {
  readonly config: HubConfig
  readonly box: LetterBox
  /** Asked of the gateway once. @throws HubError HUB_DISCOVERY_FAILED, HUB_DISCOVERY_UNAUTHORIZED */
  wiring(): Promise<Wiring>
  /** Instances whose brokers keep letters of their own, which the store does not show. */
  readonly elsewhere: readonly string[]
}

/** Says on standard error what reading changes. @throws HubError HUB_STATE_UNUSABLE, HUB_USAGE, of the configuration, of the broker */
export async function openBox(
  options: PlaceOptions,
  output: Output,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<OpenBox> {
  const { broker, place = [] } = options
  const config = await configOf(options, env, () => (broker === undefined ? [] : [broker]))
  let wiring: Promise<Wiring> | undefined
  const askWiring = (): Promise<Wiring> => (wiring ??= functionsNow(config, env).then(({ snapshot }) => buildWiring(snapshot, wiringOptions(config)))) // prettier-ignore
  if (options.async === true) {
    if (broker !== undefined || place.length > 0) throw new HubError('HUB_USAGE', 'async calls are kept by the gateway, not by a broker', { hint: 'Leave out --broker and --place.' }) // prettier-ignore
    const path = join(options.stateDir ?? GATEWAY_STATE_DIR, 'async-dead-letters.db')
    return { ...openStore(path), config, wiring: askWiring, elsewhere: [] }
  }
  if (broker === undefined) {
    if (place.length > 0) throw new HubError('HUB_USAGE', '--place is of a broker', { hint: 'Add --broker <instance>.' }) // prettier-ignore
    const elsewhere = config.instances.filter(({ terms }) => terms.capabilities.reject === 'broker').map(({ name }) => name) // prettier-ignore
    return {
      ...openStore(join(options.stateDir ?? config.settings.stateDir, 'dead-letters.db')),
      config,
      wiring: askWiring,
      elsewhere,
    }
  }
  const instance = instanceNamed(config, broker)
  const tools = await openTools(config, instance, personLog(output))
  // Where the letters are may follow from the topics; a gateway that is away is no reason not to look.
  const topics = place.length > 0 ? [] : await askWiring().then((wired) => topicsOf(wired, broker), () => []) // prettier-ignore
  const box = await tools.letters?.({ places: place, topics }, signal)
  if (box === undefined) throw new HubError('HUB_USAGE', `${broker} keeps no dead letters at its broker`, { hint: 'They are in the store of the hub: leave out --broker.' }) // prettier-ignore
  if (box.caution !== undefined) output.warn(`${paint(output.warnColor, 'yellow', 'caution')}  ${printable(sentence(box.caution))}\n`) // prettier-ignore
  return { config, box, wiring: askWiring, elsewhere: [], [Symbol.asyncDispose]: () => box[Symbol.asyncDispose]() }
}

function openStore(path: string): { readonly box: LetterBox } & AsyncDisposable {
  // Looking makes no store.
  const store = existsSync(path) ? new SqliteDeadLetters(path) : undefined
  const close = (): Promise<void> => Promise.resolve(store?.close())
  return {
    box: store === undefined ? emptyBox(path) : storeBox(store, path, systemClock),
    [Symbol.asyncDispose]: close,
  }
}

function emptyBox(place: string): LetterBox {
  return {
    place,
    caution: undefined,
    removal: undefined,
    async *letters() {},
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function topicsOf(wiring: Wiring, instance: string): readonly string[] {
  return wiring.instance(instance)?.subscriptions.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])) ?? []
}

/** @throws HubError HUB_USAGE */
export function filterOf({ function: name, topic, connector, before }: ChoiceOptions): LetterFilter {
  const beforeMs = before === undefined ? undefined : dateOf('--before', before)
  return { function: name, topic, source: connector, beforeMs }
}

/** Nothing is chosen by leaving everything out. @throws HubError HUB_USAGE */
export function choiceOf(ids: readonly string[], options: ChoiceOptions & { readonly all?: boolean }): LetterFilter {
  const filter = filterOf(options)
  const isFiltered = Object.values(filter).some((value) => value !== undefined)
  const hint = 'Name the ids that dead-letters list shows, or --function, --topic, --connector, --before, or --all.'
  if (ids.length > 0) {
    if (isFiltered || options.all === true) throw new HubError('HUB_USAGE', 'ids and other choices exclude each other', { hint }) // prettier-ignore
    return { ids: new Set(ids) }
  }
  if (!isFiltered && options.all !== true) throw new HubError('HUB_USAGE', 'which dead letters is not said', { hint })
  return filter
}
