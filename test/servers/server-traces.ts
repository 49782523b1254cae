// What a server of the tests leaves on the machine. Called by their tests.

import { existsSync, readdirSync, readFileSync } from 'node:fs'

import type { Server } from './server.ts'

/** Command lines of processes that name its folder, and the folder when it is there. */
export function tracesOf({ folder = '' }: Pick<Server, 'folder'>): readonly string[] {
  const lines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => commandLine(pid))
    .filter((line) => line.includes(folder))
  return existsSync(folder) ? [...lines, folder] : lines
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return '' // ended meanwhile
  }
}
