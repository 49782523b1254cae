// Compiles `connector.filter`, a CEL expression over one event, and evaluates it within bounds. Knows nothing of triggers;
// called when annotations are read, and by the dispatcher through `EventFilter`.

import { createContext, Script } from 'node:vm'
import type { Context } from 'node:vm'

import { Environment } from '@marcbachmann/cel-js'
import type { ASTNode } from '@marcbachmann/cel-js'

import { errorText, formatDuration, formatSize } from '../sdk/index.ts'
import type { EventFilter, EventMessage, FilterVerdict } from '../sdk/index.ts'

const EXPRESSION_CHARS_MAX = 2048
/** A filter that reads `data` or `text` of a larger body gives the verdict `error`. */
export const FILTER_BODY_BYTES_MAX = 1024 * 1024
/** For expressions whose cost does not follow from their length: loops and regular expressions. */
const GUARDED_MS = 100
const REASON_CHARS_MAX = 200

/** What an expression may use. */
export const FILTER_VARIABLES = {
  topic: { type: 'string', description: 'the concrete topic the event arrived on' },
  source: { type: 'string', description: 'the connector instance' },
  key: { type: 'string', description: "the ordering key, or ''" },
  attempt: { type: 'int', description: "the broker's delivery count, from 1" },
  headers: { type: 'map<string, string>', description: 'broker metadata; names in lower case' },
  data: { type: 'dyn', description: 'the body as JSON; numbers are doubles' },
  text: { type: 'string', description: 'the body as UTF-8' },
  size: { type: 'int', description: 'bytes of the body' },
} as const

/** Functions whose cost grows no faster than their input; an expression with any other runs under a time limit. */
const LINEAR = new Set([
  'has', 'size', 'contains', 'startsWith', 'endsWith', 'indexOf', 'lastIndexOf', 'substring', 'int', 'uint', 'double',
  'string', 'bool', 'type', 'dyn', 'timestamp', 'duration', 'orValue', 'hasValue', 'or', 'getFullYear', 'getMonth',
  'getDayOfMonth', 'getDate', 'getDayOfWeek', 'getDayOfYear', 'getHours', 'getMinutes', 'getSeconds',
]) // prettier-ignore

let environment: Environment | undefined

function celEnvironment(): Environment {
  if (environment !== undefined) return environment
  environment = new Environment({
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 500, maxDepth: 32, maxListElements: 200, maxMapEntries: 50, maxCallArguments: 8 },
  })
  for (const [name, { type }] of Object.entries(FILTER_VARIABLES)) environment.registerVariable(name, type)
  return environment
}

export type CompiledFilter =
  | { readonly filter: EventFilter; readonly problem?: undefined }
  | { readonly filter?: undefined; readonly problem: string }

/** Parses and type-checks, so that a misspelt variable is found here and not on the first event. Never throws. */
export function compileFilter(expression: string): CompiledFilter {
  if (expression.trim() === '') return { problem: 'must not be empty' }
  if (expression.length > EXPRESSION_CHARS_MAX)
    return { problem: `must have at most ${EXPRESSION_CHARS_MAX} characters` }
  try {
    const program = celEnvironment().parse(expression)
    const checked = program.check()
    if (checked.error !== undefined) return { problem: celText(checked.error) }
    if (checked.type !== 'bool' && checked.type !== 'dyn')
      return { problem: `must be true or false, not ${checked.type ?? 'another type'}` }
    const calls = new Set<string>()
    inspect(program.ast, calls)
    const run = (facts: EventFacts): unknown => program(facts)
    const guarded = [...calls].some((name) => !LINEAR.has(name))
    return { filter: new CelFilter(expression, guarded ? (facts) => withinTime(() => run(facts)) : run) }
  } catch (error) {
    return { problem: celText(error) }
  }
}

/** One of the expressions that `&&` joins, and what it gave. */
export interface FilterTerm {
  readonly term: string
  readonly verdict: FilterVerdict
}

/** Why a valid filter is not true: each term that `&&` joins at the top, by itself. */
export function explainFilter(expression: string, message: EventMessage): readonly FilterTerm[] {
  return conjuncts(celEnvironment().parse(expression).ast).map(({ start, end }): FilterTerm => {
    const term = expression.slice(start, end)
    const { filter, problem } = compileFilter(term)
    return { term, verdict: filter?.test(message) ?? { kind: 'error', reason: problem ?? '' } }
  })
}

function conjuncts(node: ASTNode): readonly ASTNode[] {
  return node.op === '&&' ? node.args.flatMap(conjuncts) : [node]
}

class CelFilter implements EventFilter {
  readonly expression: string
  readonly #run: (facts: EventFacts) => unknown

  constructor(expression: string, run: (facts: EventFacts) => unknown) {
    this.expression = expression
    this.#run = run
  }

  test(message: EventMessage): FilterVerdict {
    try {
      const value = this.#run(factsOf(message))
      if (value === true) return { kind: 'pass' }
      if (value === false) return { kind: 'fail' }
      return {
        kind: 'error',
        reason: `the expression gave ${value === null ? 'null' : `a ${typeof value}`}, not true or false`,
      }
    } catch (error) {
      return { kind: 'error', reason: celText(error) }
    }
  }
}

/** Collects the names of called functions and refuses regular expressions that can never be compiled. */
function inspect(node: ASTNode, calls: Set<string>): void {
  if (node.op === 'call' || node.op === 'rcall') calls.add(node.args[0])
  if (node.op === 'rcall' && node.args[0] === 'matches') {
    const pattern = node.args[2][0]
    if (pattern?.op === 'value' && typeof pattern.args === 'string') checkRegExp(pattern.args)
  }
  visit(node.args, calls)
}

/** @throws SyntaxError */
function checkRegExp(pattern: string): RegExp {
  return new RegExp(pattern)
}

function visit(part: unknown, calls: Set<string>): void {
  if (Array.isArray(part)) for (const inner of part) visit(inner, calls)
  else if (isNode(part)) inspect(part, calls)
}

function isNode(part: unknown): part is ASTNode {
  return typeof part === 'object' && part !== null && 'op' in part && 'args' in part
}

/** The event as an expression sees it. The body is decoded and parsed at most once, and only when asked for. */
class EventFacts {
  readonly #message: EventMessage
  #headers: ReadonlyMap<string, string> | undefined
  #text: string | undefined
  #data: { readonly value: unknown } | { readonly problem: Error } | undefined

  constructor(message: EventMessage) {
    this.#message = message
  }

  get topic(): string {
    return this.#message.topic
  }

  get source(): string {
    return this.#message.source
  }

  get key(): string {
    return this.#message.orderingKey ?? ''
  }

  get attempt(): bigint {
    return BigInt(this.#message.attempt)
  }

  get size(): bigint {
    return BigInt(this.#message.body.byteLength)
  }

  get headers(): ReadonlyMap<string, string> {
    this.#headers ??= new Map(Object.entries(this.#message.headers).map(([name, value]) => [name.toLowerCase(), value]))
    return this.#headers
  }

  get text(): string {
    if (this.#text !== undefined) return this.#text
    const { body } = this.#message
    if (body.byteLength > FILTER_BODY_BYTES_MAX)
      throw new RangeError(
        `the body has ${formatSize(body.byteLength)}; filters read at most ${formatSize(FILTER_BODY_BYTES_MAX)}`,
      )
    this.#text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
    return this.#text
  }

  get data(): unknown {
    this.#data ??= parseJson(this.text)
    if ('problem' in this.#data) throw this.#data.problem
    return this.#data.value
  }
}

function parseJson(text: string): { readonly value: unknown } | { readonly problem: Error } {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    // The parser's own message quotes the body, which must not reach a log.
    return { problem: new SyntaxError('the body is not JSON') }
  }
}

/** Several functions' filters look at one event; its body is parsed once for all of them. */
const factsByMessage = new WeakMap<EventMessage, EventFacts>()

function factsOf(message: EventMessage): EventFacts {
  let facts = factsByMessage.get(message)
  if (facts === undefined) factsByMessage.set(message, (facts = new EventFacts(message)))
  return facts
}

const guardedCall = new Script('run()')
let guardContext: (Context & { run?: () => unknown }) | undefined

/** Ends `run` wherever it is after the limit, even inside a regular expression that backtracks for ever. */
function withinTime(run: () => unknown): unknown {
  guardContext ??= createContext({})
  guardContext.run = run
  try {
    return guardedCall.runInContext(guardContext, { timeout: GUARDED_MS })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    throw new Error(`the expression took longer than ${formatDuration(GUARDED_MS)}`, { cause: error })
  } finally {
    delete guardContext.run
  }
}

/** The library's one-line summary, without its drawing of the source. */
function celText(error: unknown): string {
  const summary = (error as { readonly summary?: unknown }).summary
  const line = typeof summary === 'string' ? summary : (errorText(error).split('\n')[0] as string)
  return line.slice(0, REASON_CHARS_MAX)
}
