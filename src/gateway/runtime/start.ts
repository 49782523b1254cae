// The one place that knows every kind of runtime.

import type { FunctionSpec } from '../function-spec.ts'
import { nodeRuntime } from './node-runtime.ts'
import { wordsOf } from './process-group.ts'
import { ProcessRuntime } from './process-runtime.ts'
import { pythonRuntime } from './python-runtime.ts'
import type { Reaper } from './reaper.ts'
import { functionEnvironment } from './runtime.ts'
import type { FunctionRuntime, InstanceLog } from './runtime.ts'
import { serverRuntime } from './server-runtime.ts'
import { StaticRuntime } from './static-runtime.ts'
import { UpstreamRuntime } from './upstream-runtime.ts'

export interface StartOptions {
  readonly spec: FunctionSpec
  /** Private, on a short path: a socket's path has at most about 100 bytes. */
  readonly socketDirectory: string
  readonly reaper: Reaper
  /** Holds exactly the function's secrets; undefined where it has none. */
  readonly secretsDirectory?: string | undefined
  readonly log: InstanceLog
}

/** One replica; it need not run before its first call. */
export function startRuntime(options: StartOptions): FunctionRuntime {
  const { runtime } = options.spec
  switch (runtime.kind) {
    case 'node':
      return nodeRuntime(options, runtime)
    case 'process':
      return new ProcessRuntime({
        ...options,
        command: wordsOf(runtime.command),
        directory: runtime.directory,
        mode: runtime.mode,
        env: functionEnvironment(options.spec, options.secretsDirectory),
      })
    case 'python':
      return pythonRuntime(options, runtime)
    case 'server':
      return serverRuntime(options, runtime)
    case 'static':
      return new StaticRuntime(runtime.directory)
    case 'upstream':
      return new UpstreamRuntime(options.spec, runtime)
  }
}
