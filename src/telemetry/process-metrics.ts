// What the process itself takes, under the names that Prometheus' client libraries share. Registered by Metrics.

import { totalmem } from 'node:os'

import { Counter, Gauge } from '@prometheus-io/client'
import type { Registry } from '@prometheus-io/client'

import { VERSION } from './version.ts'

/** Not worked out at each scrape: the least difference looks like a restart. */
const STARTED_AT_SECONDS = Math.round(Date.now() - process.uptime() * 1000) / 1000

/** Once per registry; read at each scrape. */
export function registerProcessMetrics(registry: Registry): void {
  const registers = [registry]
  gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss())
  gauge('process_start_time_seconds', 'Unix time at which the process began.', () => STARTED_AT_SECONDS)
  gauge('connector_hub_memory_limit_bytes', 'Memory that the process may have: of its control group, else of the machine.', memoryLimit) // prettier-ignore
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time, user and system.',
    registers,
    collect: (): void => {
      const { user, system } = process.cpuUsage()
      cpu.reset()
      cpu.inc((user + system) / 1_000_000)
    },
  })
  new Gauge({ name: 'connector_hub_build_info', help: 'Always 1, with the version.', labelNames: ['version'], registers }).set({ version: VERSION }, 1) // prettier-ignore

  function gauge(name: string, help: string, read: () => number): void {
    const one = new Gauge({
      name,
      help,
      registers,
      collect: (): void => {
        one.set(read())
      },
    })
  }
}

/** Without a limit the system says 0, or more than there is. */
function memoryLimit(): number {
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}
