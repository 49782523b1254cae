// An example of deploy/examples as its user has it: a folder of its own, the commands of its README in the order in which they
// stand there, and the command `connector-hub` on the PATH. A test that leaves out a command of the README fails by `unused`.

import { execFile } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

import { CliProcess } from '../cli/cli.ts'
import { EXAMPLES, ROOT } from '../docs/readme-examples.ts'

const execute = promisify(execFile)
const RUN_MS = 80_000
const GATEWAY = /gateway +(http:\/\/127\.0\.0\.1:\d+)/

export class Example implements Disposable {
  readonly #parent = mkdtempSync(join(tmpdir(), 'hub-example-'))
  readonly folder = join(this.#parent, 'example')
  readonly bin = join(this.#parent, 'bin')
  readonly #blocks: string[]
  /** Of every command. */
  readonly env: Record<string, string>

  constructor(name: string, env: Readonly<Record<string, string>> = {}) {
    cpSync(join(ROOT, 'deploy/examples', name), this.folder, { recursive: true })
    // In a clone the handlers find their packages above themselves.
    symlinkSync(join(ROOT, 'node_modules'), join(this.#parent, 'node_modules'))
    mkdirSync(this.bin)
    this.command('connector-hub', [process.execPath, join(ROOT, 'src/cli/main.ts')])
    this.env = { PATH: `${this.bin}${delimiter}${process.env['PATH'] ?? ''}`, HOME: this.#parent, ...env }
    const file = `deploy/examples/${name}/README.md`
    this.#blocks = EXAMPLES.filter((one) => one.file === file && one.language === 'sh').map(({ text }) => text)
  }

  /** Puts a command on the PATH. */
  command(name: string, argv: readonly string[]): void {
    writeFileSync(join(this.bin, name), `#!/bin/sh\nexec ${argv.map((word) => `'${word}'`).join(' ')} "$@"\n`)
    chmodSync(join(this.bin, name), 0o755)
  }

  /** Blocks of the README that no test has run yet. */
  get unused(): readonly string[] {
    return this.#blocks
  }

  /** The first block that holds this; it then counts as used. */
  block(part: string): string {
    const at = this.#blocks.findIndex((text) => text.includes(part))
    if (at === -1) throw new Error(`the README has no command with ${part}`)
    return this.#blocks.splice(at, 1)[0] as string
  }

  /**
   * The block that starts `connector-hub` and does not end, after settings of its environment, with other addresses.
   * @param more laid behind it: free ports
   */
  start(part: string, more: readonly string[], addresses: Readonly<Record<string, string>> = {}): CliProcess {
    const env: Record<string, string> = { ...this.env }
    const words = localised(this.block(part), addresses).trim().split(/\s+/)
    for (const word of words.splice(0, words.indexOf('connector-hub'))) {
      const [name = '', value] = word.split('=')
      if (value !== undefined) env[name] = value
      else if (name !== 'export') throw new Error(`${part} is started by ${name}`)
    }
    return new CliProcess([...words.slice(1), ...more], { cwd: this.folder, env })
  }

  /**
   * The block as it stands there, with other addresses: every line of it must succeed.
   * @returns what it said on standard output
   */
  async run(part: string, addresses: Readonly<Record<string, string>>): Promise<string> {
    const text = localised(this.block(part), addresses)
    const { stdout } = await execute('bash', ['-euo', 'pipefail', '-c', text], { cwd: this.folder, env: this.env, timeout: RUN_MS, killSignal: 'SIGKILL' }) // prettier-ignore
    return stdout
  }

  [Symbol.dispose](): void {
    rmSync(this.#parent, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** With other addresses than the usual ones. */
export function localised(text: string, addresses: Readonly<Record<string, string>>): string {
  return Object.entries(addresses).reduce((result, [usual, actual]) => result.replaceAll(usual, actual), text)
}

/** Of a `gateway` or `dev` that runs. */
export async function gatewayOf(running: CliProcess): Promise<string> {
  const [, url = ''] = await running.says(GATEWAY)
  return url
}
