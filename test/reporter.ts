// The lines of a run that the default reporters have not: what a long test has to say as it ends, and at the end every skip
// and every failure with its reason, each server with its suites, and one plain line that any machine can read.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'

import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node'

import { NONE, serverTable, sum, totalsText } from './summary.ts'
import type { Counts, FileResult } from './summary.ts'

const EXCERPT = { first: 5, last: 20, columns: 400 }

export default class SummaryReporter implements Reporter {
  #vitest: Vitest | undefined

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestCaseResult(test: TestCase): void {
    const { line } = test.meta()
    if (line !== undefined) console.log(line)
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const results = modules.map(resultOf)
    const skips = modules.flatMap((module) => [...module.children.allTests('skipped')].map(skipText))
    const failures = modules.flatMap(failureTexts)
    const servers = this.#vitest?.getRootProject().getProvidedContext().servers ?? []
    const table = serverTable(results, servers)
    const totals = withEarlierRuns(sum([...results, { ...NONE, failed: errors.length }]))
    // The default reporters print on the same event; this must come after them.
    setImmediate(() => {
      for (const skip of skips) console.log(`skipped: ${skip}`)
      if (table !== undefined) console.log(`\n${table}`)
      // Again: whoever has only the end of the output needs them.
      if (failures.length > 0) console.log(`\n${failures.map((failure) => `failed: ${failure}`).join('\n')}`)
      console.log(`\n${totalsText(totals)}`)
    })
  }
}

function resultOf(module: TestModule): FileResult {
  const count = (state: 'passed' | 'failed' | 'skipped' | 'pending'): number => [...module.children.allTests(state)].length // prettier-ignore
  const failed = count('failed')
  // One whose import or hooks failed has no failed test.
  const failedWhole = module.state() === 'failed' && failed === 0 ? 1 : 0
  return {
    path: module.relativeModuleId,
    passed: count('passed'),
    failed: failed + failedWhole,
    skipped: count('skipped') + count('pending'),
  }
}

function skipText(test: TestCase): string {
  const result = test.result()
  return `${test.fullName}: ${(result.state === 'skipped' ? result.note : undefined) ?? 'no reason given'}`
}

function failureTexts(module: TestModule): readonly string[] {
  const whole = module.errors().map((error) => `${module.relativeModuleId}: ${excerpt(error.message)}`)
  const tests = [...module.children.allTests('failed')].map((test) => {
    const messages = test.result().errors?.flatMap(causes).map(excerpt)
    return `${module.relativeModuleId}: ${test.fullName}: ${messages?.join(': ') ?? 'no error given'}`
  })
  return [...whole, ...tests]
}

/** Innermost last. */
function causes(error: { readonly message?: string; readonly cause?: unknown }): readonly string[] {
  const { message = '', cause } = error
  return [message, ...(typeof cause === 'object' && cause !== null ? causes(cause) : [])]
}

/** A message may hold all that a process has said: how it began, and above all how it ended. */
function excerpt(text: string): string {
  const lines = stripVTControlCharacters(text).trimEnd().split('\n').map((line) => line.slice(0, EXCERPT.columns)) // prettier-ignore
  const left = lines.length - EXCERPT.first - EXCERPT.last
  if (left > 1) lines.splice(EXCERPT.first, left, `… ${left} lines …`)
  return lines.join('\n  ')
}

/** Several runs that are one to whoever reads the last line share the file of HUB_TEST_TOTALS. */
function withEarlierRuns(counts: Counts): Counts {
  const file = process.env['HUB_TEST_TOTALS'] ?? ''
  if (file === '') return counts
  const earlier = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Counts) : NONE
  const totals = sum([earlier, counts])
  writeFileSync(file, JSON.stringify(totals))
  return totals
}
