// Checks who takes the dead letters that have no place at the broker of their event, and makes the sink for them. Called by
// config.ts and by hub.ts.

import { FunctionLetters } from '../delivery/function-letters.ts'
import type { DeadLetterSink } from '../delivery/dead-letters.ts'
import { HttpInvoker } from '../invoke/http-invoker.ts'
import { HubError, problemText } from '../sdk/index.ts'
import type { Clock, ConfigProblem, SourceLog } from '../sdk/index.ts'
import { VERSION } from '../telemetry/version.ts'
import type { HubConfig, HubSettings, InstanceConfig } from './config.ts'
import { openTools } from './tools.ts'
import { TopicLetters } from './topic-letters.ts'

const KEEPERS = 'Kafka, NATS JetStream, RabbitMQ or SQS'
/** Dead letters are rare; more wait for a socket. */
const CONNECTIONS_MAX = 8

/**
 * The instance that takes dead letters, undefined where none does. It need not be one that runs here.
 * @param instanceOf or what is wrong with it
 * @param problems gets what is wrong
 */
export async function findLetterKeeper(
  { deadLetters: { function: name, connector, topic } }: HubSettings,
  instanceOf: (name: string) => Promise<InstanceConfig | readonly ConfigProblem[]>,
  problems: ConfigProblem[],
): Promise<InstanceConfig | undefined> {
  const wrong = (key: string, message: string): undefined => void problems.push({ path: ['deadLetters', key], message })
  if (name !== undefined && connector !== undefined) return wrong('function', 'excludes connector: name one of them')
  if (topic !== undefined && connector === undefined) return wrong('topic', 'is of no connector: add connector')
  if (connector === undefined) return undefined
  if (topic === undefined) return wrong('connector', 'needs a topic beside it')
  const instance = await instanceOf(connector)
  if ('manifest' in instance) {
    if (instance.manifest.keepsLetters?.(instance.source) === true) return instance
    return wrong('connector', `cannot be ${connector}: it does not confirm events as kept, with headers beside them; use ${KEEPERS}`) // prettier-ignore
  }
  return wrong('connector', `must be an instance under connectors, of ${KEEPERS}${[': ', ...instance.map(problemText)].slice(instance.length === 0 ? 1 : 0).join('')}`) // prettier-ignore
}

export interface LetterSink extends AsyncDisposable {
  readonly sink: DeadLetterSink
  /** For people, e.g. `the function keep-letters.openfaas-fn`. */
  readonly place: string
}

/** The one that is configured beside the store; undefined: the store. @throws HubError HUB_USAGE, HUB_CONNECTOR_BROKEN */
export async function openLetterSink(config: HubConfig, clock: Clock, log: SourceLog): Promise<LetterSink | undefined> {
  const { settings, letterKeeper } = config
  const { function: name, mode, topic } = settings.deadLetters
  if (name !== undefined) {
    const { gateway, defaults } = settings
    const invoker = new HttpInvoker({
      gatewayUrl: gateway.url,
      connector: 'dead-letters',
      contentType: defaults.contentType,
      userAgent: `connector-hub/${VERSION}`,
      connectionsMax: CONNECTIONS_MAX,
      clock,
    })
    const sink = new FunctionLetters({ function: name, mode, timeoutMs: defaults.timeout, invoker })
    return { sink, place: `the function ${name}`, [Symbol.asyncDispose]: () => invoker.close() }
  }
  if (letterKeeper === undefined || topic === undefined) return undefined
  const tools = await openTools(config, letterKeeper, log)
  const emitter = tools.emitter?.bind(tools)
  if (emitter === undefined) throw new HubError('HUB_CONNECTOR_BROKEN', `${letterKeeper.name} says that it keeps dead letters, and emits nothing`) // prettier-ignore
  const sink = new TopicLetters({ connector: letterKeeper.name, topic, emitter })
  return { sink, place: `${topic} of ${letterKeeper.name}`, [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose]() }
}
