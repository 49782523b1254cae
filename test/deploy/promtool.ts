// Prometheus' own evaluation of rules and expressions over series that a test states, by its promtool.

import { Shell } from '../programs/shell.ts'
import { keyOf } from './scrapes.ts'
import type { Series } from './scrapes.ts'

/** Of a pod that is scraped in a cluster. */
export function targetOf(pod: string): Readonly<Record<string, string>> {
  return { namespace: 'openfaas', pod, instance: `${pod}:8081`, job: 'connector-hub' }
}

/** Values of a series a minute apart, in promtool's notation: `0+1x60`, `1x40 0x20`, `_x60` for none. */
export type Values = string

export interface Question {
  readonly expr: string
  /** Minutes after the beginning. */
  readonly atMinute: number
  /** The one value that the expression has. */
  readonly value: number
}

/** Series by their keys, and what is asked of them. */
export interface World {
  readonly series: ReadonlyMap<string, Values>
  readonly questions: readonly Question[]
}

export class Promtool implements Disposable {
  readonly #shell: Shell

  private constructor(shell: Shell) {
    this.#shell = shell
  }

  /** @throws ServerUnavailable */
  static async open(rules: string): Promise<Promtool> {
    const shell = await Shell.with(['promtool'])
    shell.file('rules.yaml', rules)
    return new Promtool(shell)
  }

  /** What it says of the rules. @throws Error when something is wrong with them */
  check(): Promise<string> {
    return this.#shell.run('promtool check rules --lint-fatal rules.yaml')
  }

  /** @returns what it says: SUCCESS. @throws Error with its words when an answer is another */
  async ask(...worlds: readonly World[]): Promise<string> {
    const tests = worlds.map(({ series, questions }) => ({
      interval: '1m',
      input_series: [...series].map(([key, values]) => ({ series: key, values })),
      promql_expr_test: questions.map(({ expr, atMinute, value }) => ({
        expr,
        eval_time: `${atMinute}m`,
        exp_samples: [{ labels: '{}', value }],
      })),
    }))
    // JSON is YAML.
    this.#shell.file('tests.yaml', JSON.stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests }))
    return await this.#shell.run('promtool test rules tests.yaml')
  }

  [Symbol.dispose](): void {
    this.#shell[Symbol.dispose]()
  }
}

/** The key of a recorded series as it is when a pod is scraped. */
export function scrapedKey({ name, labels }: Pick<Series, 'name' | 'labels'>, pod = 'hub-0'): string {
  return keyOf({ name, labels: { ...labels, ...targetOf(pod) } })
}

/** Names of metrics in an expression: its identifiers that are neither functions, keywords nor labels. */
export function metricNames(expr: string): ReadonlySet<string> {
  const bare = expr
    .replace(/\{[^}]*\}/g, ' ')
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ')
    .replace(/"[^"]*"/g, ' ')
  return new Set(bare.match(/\b(?:connector_hub|process)_[a-z0-9_]+\b/g))
}

/** A histogram's series have suffixes that its family has not. */
export function familyOf(name: string): string {
  return name.replace(/_(bucket|sum|count)$/, '')
}
