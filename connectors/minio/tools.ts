// What the command line does with buckets beside running a source. MinIO keeps no dead letters. Called through connector.ts.

import type { ToolContext, Tools } from '../../src/sdk/index.ts'
import type { MinioConfig } from './client.ts'
import { openEmitter } from './emit.ts'
import { peekBuckets } from './peek.ts'

export function minioTools(config: MinioConfig, context: ToolContext): Tools {
  return {
    peek: (wanted, signal) => peekBuckets(config, context, wanted, signal),
    emitter: (signal) => openEmitter(config, signal),
  }
}
