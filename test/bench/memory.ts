// Memory of a hub by number of functions, each with a topic of its own, listed by a gateway.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { dump } from 'js-yaml'

import type { BenchBroker } from './brokers.ts'
import { Worker } from './child.ts'
import type { TargetOrder, TargetReport } from './target.ts'

export interface Memory {
  readonly functions: number
  /** Resident set, bytes. */
  readonly rss: number
  /** Used by live objects after a collection, bytes. */
  readonly heapUsed: number
}

export async function measureMemory(broker: BenchBroker, functions: number): Promise<Memory> {
  await using target = new Worker<TargetOrder, TargetReport>('target.ts')
  const listening = await target.report()
  if (listening.kind !== 'listening') throw new Error('the target did not start')
  target.order({ expect: 0, functions, topic: broker.topic })
  await target.report()
  const folder = mkdtempSync(join(tmpdir(), 'hub-bench-'))
  const file = join(folder, 'hub.yaml')
  const gateway = { url: `http://127.0.0.1:${listening.port}`, rebuildInterval: '1s' }
  const connectors = { bench: broker.connector(`memory-${functions}`) }
  writeFileSync(file, dump({ gateway, stateDir: folder, connectors }))
  const child = fork(join(import.meta.dirname, 'memory-hub.ts'), [file, String(functions)], {
    execArgv: ['--expose-gc'],
  })
  try {
    const exited = once(child, 'exit').then(() => Promise.reject(new Error('the hub of the memory benchmark ended')))
    const [usage] = (await Promise.race([once(child, 'message'), exited])) as [Omit<Memory, 'functions'>]
    return { functions, ...usage }
  } finally {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}
