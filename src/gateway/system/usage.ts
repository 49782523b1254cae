// What a function's processes use, measured in /proc: everything in their process groups. 0 where there is no /proc, or no
// process. Asked by the status route.

import { readFile, readdir } from 'node:fs/promises'

export interface Usage {
  /** Milli-cores. */
  readonly cpu: number
  readonly totalMemoryBytes: number
}

interface Sample {
  readonly cpuMs: number
  readonly takenAtMs: number
}

interface ProcessState {
  readonly pid: number
  readonly group: number
  readonly cpuMs: number
  /** Since the machine was started. */
  readonly startedAtMs: number
}

/** USER_HZ: the same on every Linux architecture that Node runs on. */
const TICK_MS = 10
/** An earlier measurement is a good start for this one within these bounds; outside, the process's whole life is. */
const WINDOW_MIN_MS = 250
const WINDOW_MAX_MS = 60_000
const PROCESSES_AT_ONCE = 64

/** Remembers the last measurement of each function, so that `cpu` is that of the time since. */
export class UsageMeter {
  readonly #samples = new Map<string, Sample>()

  /** Never rejects. @param pids leaders of the function's process groups */
  async measure(fullName: string, pids: readonly number[]): Promise<Usage> {
    if (pids.length === 0) return this.#none(fullName)
    const groups = new Set(pids)
    const states = (await processStates()).filter(({ group }) => groups.has(group))
    if (states.length === 0) return this.#none(fullName)
    const takenAtMs = await uptimeMs()
    const cpuMs = states.reduce((sum, state) => sum + state.cpuMs, 0)
    const before = this.#samples.get(fullName)
    this.#samples.set(fullName, { cpuMs, takenAtMs })
    const windowMs = takenAtMs - (before?.takenAtMs ?? -Infinity)
    const isRecent = before !== undefined && windowMs >= WINDOW_MIN_MS && windowMs <= WINDOW_MAX_MS
    const sinceMs = isRecent && before.cpuMs <= cpuMs ? windowMs : takenAtMs - oldest(states)
    const usedMs = isRecent && before.cpuMs <= cpuMs ? cpuMs - before.cpuMs : cpuMs
    const memory = await Promise.all(states.map(({ pid }) => residentBytes(pid)))
    return {
      cpu: sinceMs <= 0 ? 0 : Math.round((usedMs / sinceMs) * 1000),
      totalMemoryBytes: memory.reduce((sum, bytes) => sum + bytes, 0),
    }
  }

  forget(fullName: string): void {
    this.#samples.delete(fullName)
  }

  #none(fullName: string): Usage {
    this.#samples.delete(fullName)
    return { cpu: 0, totalMemoryBytes: 0 }
  }
}

function oldest(states: readonly ProcessState[]): number {
  return states.reduce((least, { startedAtMs }) => Math.min(least, startedAtMs), Infinity)
}

async function processStates(): Promise<readonly ProcessState[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  const states: (ProcessState | undefined)[] = []
  for (let from = 0; from < pids.length; from += PROCESSES_AT_ONCE)
    states.push(...(await Promise.all(pids.slice(from, from + PROCESSES_AT_ONCE).map((pid) => processState(Number(pid)))))) // prettier-ignore
  return states.filter((state) => state !== undefined)
}

/** Undefined for one that ended in between. */
async function processState(pid: number): Promise<ProcessState | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // After the command, which may hold anything, the third field of all (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields.length < 20) return undefined
  const ticks = Number(fields[11]) + Number(fields[12])
  return { pid, group: Number(fields[2]), cpuMs: ticks * TICK_MS, startedAtMs: Number(fields[19]) * TICK_MS }
}

async function uptimeMs(): Promise<number> {
  const text = await readFile('/proc/uptime', 'utf8').catch(() => '0')
  return Number.parseFloat(text) * 1000
}

async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
}
