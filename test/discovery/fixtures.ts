// What the discovery tests share: functions, messages, defaults, and a recorder of reported events.

import type { EventMessage, TriggerSettings } from '../../src/sdk/index.ts'
import type {
  DiscoveryEvents,
  FunctionInfo,
  Snapshot,
  WiringInstance,
  WiringOptions,
} from '../../src/discovery/index.ts'

export const defaults: TriggerSettings = {
  mode: 'sync',
  timeoutMs: 60_000,
  concurrency: 100,
  ordering: 'none',
  retry: { attempts: 5, codes: undefined, minWaitMs: 1000, maxWaitMs: 120_000, jitter: 'full' },
}

export function functionInfo(fullName: string, annotations: Readonly<Record<string, string>>): FunctionInfo {
  const [name, namespace = ''] = fullName.split('.') as [string, string?]
  return { name, namespace, fullName, annotations }
}

export function snapshot(functions: Readonly<Record<string, Readonly<Record<string, string>>>>): Snapshot {
  return {
    functions: Object.entries(functions).map(([name, annotations]) => functionInfo(name, annotations)),
    takenAtMs: 0,
    findings: [],
  }
}

export function message(topic: string, more: Partial<EventMessage> = {}): EventMessage {
  return { id: '1', source: 'mqtt', topic, body: new Uint8Array(), headers: {}, attempt: 1, timestampMs: 0, ...more }
}

export const mqtt: WiringInstance = { name: 'mqtt', type: 'mqtt', trigger: 'topic', topicSyntax: 'mqtt' }
export const kafka: WiringInstance = { name: 'orders', type: 'kafka', trigger: 'topic', topicSyntax: 'exact' }
export const cron: WiringInstance = { name: 'timers', type: 'cron', trigger: 'schedule', topicSyntax: 'exact' }

export function options(...instances: readonly WiringInstance[]): WiringOptions {
  return { instances, delimiter: ',', defaults }
}

export class RecordedEvents implements DiscoveryEvents {
  readonly failures: { readonly code: string; readonly message: string; readonly lastGoodAgeMs: number | undefined }[] =
    []
  recoveries = 0

  discoveryFailed(code: string, text: string, lastGoodAgeMs: number | undefined): void {
    this.failures.push({ code, message: text, lastGoodAgeMs })
  }

  discoveryRecovered(): void {
    this.recoveries += 1
  }
}
