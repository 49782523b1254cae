// The last lines of a run: every skip with its reason, then one plain line that any machine can read.

import type { Reporter, TestModule } from 'vitest/node'

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0
    let failed = errors.length
    const skipped: string[] = []
    for (const module of modules) {
      if (module.state() === 'failed' && [...module.children.allTests('failed')].length === 0) failed += 1
      for (const test of module.children.allTests()) {
        const result = test.result()
        if (result.state === 'passed') passed += 1
        else if (result.state === 'failed') failed += 1
        else
          skipped.push(
            `${test.fullName}: ${(result.state === 'skipped' ? result.note : undefined) ?? 'no reason given'}`,
          )
      }
    }
    // The default reporters print on the same event; this must come after them.
    setImmediate(() => {
      for (const line of skipped) console.log(`skipped: ${line}`)
      console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`)
    })
  }
}
