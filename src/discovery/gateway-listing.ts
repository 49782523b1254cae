// One complete listing of a gateway's functions, over all namespaces. Given the listing before, does no work for what did
// not change; decides nothing about failures. Called by gateway-watcher.ts and by one-shot commands.

import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'

import { HubError, isRecord } from '../sdk/index.ts'
import type { Finding } from './finding.ts'
import {
  fullFunctionName,
  isRoutableName,
  isRoutableNamespace,
  sameAnnotations,
  type FunctionInfo,
} from './function.ts'
import { GatewayClient, type GatewayClientOptions } from './gateway-client.ts'
import { byFullName, listedTwice, listingFinding, refusedName, shownName, textAnnotations } from './listed-function.ts'
import { namespaceTest, type NamespaceRules, type NamespaceTest } from './namespace-filter.ts'

export interface GatewayListingOptions extends GatewayClientOptions {
  /** Default: all namespaces. */
  readonly namespaces?: NamespaceRules
}

export interface Listing {
  /** Sorted by full name, because providers list in random order. Unchanged functions are the objects of the listing before. */
  readonly functions: readonly FunctionInfo[]
  readonly findings: readonly Finding[]
  /** By namespace; '' where the gateway has none. */
  readonly namespaces: ReadonlyMap<string, NamespaceListing>
}

export interface NamespaceListing {
  readonly namespace: string
  /** Of the answer's bytes. */
  readonly hash: string
  readonly functions: readonly FunctionInfo[]
  readonly findings: readonly Finding[]
}

const NAMESPACES_MAX = 10_000
const PARALLEL_MAX = 4
/** Records read between two turns of the event loop. */
const RECORDS_A_TURN = 1000

export class GatewayListing {
  readonly #client: GatewayClient
  readonly #wanted: NamespaceTest

  /** @throws HubError HUB_CONFIG_INVALID */
  constructor(options: GatewayListingOptions) {
    this.#client = new GatewayClient(options)
    this.#wanted = namespaceTest(options.namespaces ?? { allow: [], deny: [] })
  }

  /**
   * All or nothing: one namespace that fails, fails the listing.
   * @param previous the listing in force, to compare with
   * @throws HubError HUB_DISCOVERY_FAILED or HUB_DISCOVERY_UNAUTHORIZED; the signal's reason when aborted
   */
  async list(signal: AbortSignal, previous?: Listing): Promise<Listing> {
    const findings: Finding[] = []
    const namespaces = await this.#namespaces(findings, signal)
    const listed = await this.#eachNamespace(namespaces, previous, signal)
    for (const listing of listed) findings.push(...listing.findings)
    return {
      functions: listed.flatMap(({ functions }) => functions).sort(byFullName),
      findings,
      namespaces: new Map(listed.map((listing) => [listing.namespace, listing])),
    }
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  /** `['']`: the gateway has none (404, empty, null or `[]`; OpenFaaS contract, conformance). */
  async #namespaces(findings: Finding[], signal: AbortSignal): Promise<readonly string[]> {
    const path = '/system/namespaces'
    const { status, body } = await this.#client.get(path, signal)
    if (status === 404) return ['']
    if (status < 200 || status > 299) throw this.#client.fault(path, `answered ${status}`)
    const value = this.#json(path, body) ?? []
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      throw this.#client.fault(path, 'the answer is not a list of names')
    if (value.length > NAMESPACES_MAX) throw this.#client.fault(path, `more than ${NAMESPACES_MAX} namespaces`)
    const names = [...new Set(value)].filter((name) => name !== '')
    if (names.length === 0) return ['']
    const wanted = names.filter(this.#wanted)
    for (const name of wanted)
      if (!isRoutableNamespace(name))
        findings.push(refusedName(name, '', `namespace "${shownName(name)}" cannot stand in a route and is left out`))
    if (wanted.length === 0) findings.push(noneAllowed("none of the gateway's namespaces is allowed"))
    return wanted.filter(isRoutableNamespace).sort()
  }

  async #eachNamespace(
    namespaces: readonly string[],
    previous: Listing | undefined,
    signal: AbortSignal,
  ): Promise<NamespaceListing[]> {
    const listed: NamespaceListing[] = []
    const failure = new AbortController()
    const either = AbortSignal.any([signal, failure.signal])
    let next = 0
    const work = async (): Promise<void> => {
      try {
        while (next < namespaces.length) {
          const index = next++
          const namespace = namespaces[index] as string
          listed[index] = await this.#functions(namespace, previous?.namespaces.get(namespace), either)
        }
      } catch (error) {
        // The others end at once; the first failure is the one that is reported.
        failure.abort(error)
        throw error
      }
    }
    const workers = Array.from({ length: Math.min(PARALLEL_MAX, namespaces.length) }, work)
    const results = await Promise.allSettled(workers)
    signal.throwIfAborted()
    if (results.some(({ status }) => status === 'rejected')) throw failure.signal.reason as Error
    return listed
  }

  async #functions(
    namespace: string,
    last: NamespaceListing | undefined,
    signal: AbortSignal,
  ): Promise<NamespaceListing> {
    const path = namespace === '' ? '/system/functions' : `/system/functions?namespace=${encodeURIComponent(namespace)}`
    const { status, body } = await this.#client.get(path, signal)
    if (status !== 200) throw this.#client.fault(path, `answered ${status}`)
    const hash = createHash('sha256').update(body).digest('base64')
    if (last?.hash === hash) return last
    const value = this.#json(path, body)
    if (!Array.isArray(value)) throw this.#client.fault(path, 'the answer is not a list of functions')
    const reader = new RecordReader(namespace, namespace === '' ? this.#wanted : undefined, last)
    for (const [index, record] of value.entries()) {
      if (index % RECORDS_A_TURN === RECORDS_A_TURN - 1) await nextTurn()
      const problem = reader.add(record)
      if (problem !== undefined) throw this.#client.fault(path, problem)
    }
    const { findings, functions } = reader
    if (reader.leftOut > 0 && reader.leftOut === value.length)
      findings.push(noneAllowed("none of the gateway's functions is in a namespace that is allowed"))
    return { namespace, hash, functions: [...functions.values()], findings }
  }

  /** Undefined for an empty body and for null. */
  #json(path: string, body: Buffer): unknown {
    const text = body.toString('utf8').trim()
    if (text === '') return undefined
    try {
      return (JSON.parse(text) as unknown) ?? undefined
    } catch {
      const what = text.startsWith('<') ? 'HTML' : 'something that is not JSON, or only a part of it'
      throw new HubError('HUB_DISCOVERY_FAILED', this.#client.fault(path, `the answer is ${what}`).message, {
        canRetry: true,
        hint: 'Check that gateway.url leads to an OpenFaaS gateway and not to a web page or a proxy in front of it.',
      })
    }
  }
}

function noneAllowed(what: string): Finding {
  return listingFinding(`${what}, so no function is called`, 'Check the allow and deny lists of namespaces.')
}

class RecordReader {
  readonly functions = new Map<string, FunctionInfo>()
  readonly findings: Finding[] = []
  /** Records of namespaces that are not allowed. */
  leftOut = 0
  readonly #namespace: string
  readonly #wanted: NamespaceTest | undefined
  readonly #last: ReadonlyMap<string, FunctionInfo>

  constructor(namespace: string, wanted: NamespaceTest | undefined, last: NamespaceListing | undefined) {
    this.#namespace = namespace
    this.#wanted = wanted
    this.#last = new Map(last?.functions.map((info) => [info.name, info]))
  }

  /** @returns why the record is not a function at all, which makes the whole answer untrustworthy */
  add(record: unknown): string | undefined {
    if (!isRecord(record) || typeof record['name'] !== 'string')
      return 'the answer holds something that is not a function'
    const { name, annotations } = record
    if (annotations !== undefined && annotations !== null && !isRecord(annotations))
      return `the annotations of ${shownName(name)} are not a mapping`
    // Without namespaces in the gateway, a record may still tell its own.
    const own = typeof record['namespace'] === 'string' ? record['namespace'] : ''
    if (this.#wanted?.(own) === false) {
      this.leftOut += 1
      return undefined
    }
    const fullName = fullFunctionName(name, this.#namespace)
    if (!isRoutableName(name))
      this.findings.push(
        refusedName(
          fullName,
          name,
          `function name "${shownName(name)}" cannot stand in a route; the function is left out`,
        ),
      )
    else if (this.functions.has(name)) this.findings.push(listedTwice(fullName, name))
    else this.functions.set(name, this.#info(name, fullName, annotations ?? {}))
    return undefined
  }

  #info(name: string, fullName: string, given: Readonly<Record<string, unknown>>): FunctionInfo {
    const annotations = textAnnotations(fullName, name, given, this.findings)
    const last = this.#last.get(name)
    if (last !== undefined && sameAnnotations(last.annotations, annotations)) return last
    return { name, namespace: this.#namespace, fullName, annotations }
  }
}
