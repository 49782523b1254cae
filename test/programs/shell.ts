// Runs examples in a shell as a user who has these programs and nothing else set up: HOME and the working folder are a folder of
// its own that goes with it.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

import type { Program, ProgramName } from './program.ts'
import { provideProgram } from './programs.ts'

const execute = promisify(execFile)
/** Of one example. Reached only by what hangs. */
const RUN_MS = 180_000

export class Shell implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'hub-shell-'))
  readonly #env: Readonly<Record<string, string>>

  private constructor(programs: readonly Program[], env: Readonly<Record<string, string>>) {
    const bin = join(this.folder, 'bin')
    mkdirSync(bin)
    for (const { command, argv } of programs)
      writeFileSync(join(bin, command), `#!/bin/sh\nexec ${argv.map(quoted).join(' ')} "$@"\n`, { mode: 0o755 })
    // Nothing of this machine's user: settings of these programs would reach them through the environment.
    this.#env = { PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`, HOME: this.folder, LANG: 'C.UTF-8', ...env }
  }

  /**
   * @param env beside HOME and PATH, such as what tells a program its server
   * @throws ServerUnavailable
   */
  static async with(names: readonly ProgramName[], env: Readonly<Record<string, string>> = {}): Promise<Shell> {
    return new Shell(await Promise.all(names.map(provideProgram)), env)
  }

  /** Into its folder. */
  file(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text, { mode: 0o600 })
  }

  /**
   * Each line must succeed.
   * @returns what was said
   * @throws Error with all that was said when a line fails
   */
  async run(text: string): Promise<string> {
    try {
      const { stdout, stderr } = await execute('bash', ['-ec', text], { cwd: this.folder, env: this.#env, timeout: RUN_MS, killSignal: 'SIGKILL' }) // prettier-ignore
      return `${stdout}${stderr}`
    } catch (error) {
      const { stdout = '', stderr = '', message } = error as Error & { readonly stdout?: string; readonly stderr?: string } // prettier-ignore
      throw new Error(`${message}\n${stdout}${stderr}`, { cause: error })
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** For a shell. */
const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`
