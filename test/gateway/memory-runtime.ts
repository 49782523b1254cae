// A function's runtime in memory, whose starts and answers the test decides.

import type { FunctionRuntime, RuntimeAnswer, RuntimeRequest } from '../../src/gateway/runtime/runtime.ts'

export class MemoryRuntime implements FunctionRuntime {
  ready = true
  pids: readonly number[] = []
  starts = 0
  isEnded = false
  /** What a start comes to; by default, it runs at once. */
  onStart: () => Promise<void> | void = () => this.run()

  /** As a process that has started. */
  run(): void {
    this.pids = [4711]
  }

  async warm(): Promise<boolean> {
    this.starts += 1
    await this.onStart()
    return true
  }

  async call(_request: RuntimeRequest): Promise<RuntimeAnswer> {
    if (this.pids.length === 0) await this.warm()
    return { status: 200, headers: [], body: Buffer.from('done') }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isEnded = true
  }
}
