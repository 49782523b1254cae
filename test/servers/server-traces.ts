// What a server of the tests leaves on the machine. Called by their tests.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Server } from './server.ts'

/** Command lines of processes that name its folder, and the folder when it is there. */
export function tracesOf({ folder = '' }: Pick<Server, 'folder'>): readonly string[] {
  const lines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => commandLine(pid))
    .filter((line) => line.includes(folder))
  return existsSync(folder) ? [...lines, folder] : lines
}

/** Folders of servers among the temporary ones, known by what their configuration says. */
export function foldersWith(file: string, text: string): readonly string[] {
  return readdirSync(tmpdir())
    .filter((name) => name.startsWith('hub-'))
    .map((name) => join(tmpdir(), name))
    .filter((folder) => existsSync(join(folder, file)) && readFileSync(join(folder, file), 'utf8').includes(text))
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return '' // ended meanwhile
  }
}
