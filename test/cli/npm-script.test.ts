// `npm run hub` of a clone: works in the folder it is called in, and ends when npm is told to.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { expect, test } from 'vitest'

const EXAMPLE = fileURLToPath(new URL('../../deploy/examples/chained-functions/', import.meta.url))

interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
}

/** @param untilText said by the program: then npm is told to end */
async function hub(args: readonly string[], untilText?: string): Promise<Ran> {
  // As from a shell: what the npm around this test says about itself is not for the one in here.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:npm_|INIT_CWD$)/.test(name)))
  const child = spawn('npm', ['run', '-s', 'hub', '--', ...args], {
    cwd: EXAMPLE,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      out += text
      if (untilText !== undefined && out.includes(untilText)) child.kill()
    })
  return await new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal, out })))
}

test('paths are those of the folder, although npm goes to the root of the package', async () => {
  const { code, out } = await hub(['plan', '--stack', 'stack.yaml'])
  expect(out).toContain('words/in')
  expect(code).toBe(0)
})

test('a signal to npm ends the program itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'npm-script-test-'))
  try {
    writeFileSync(
      join(folder, 'stack.yaml'),
      'provider: { name: openfaas }\nfunctions:\n  cat: { image: cat, fprocess: cat }\n',
    )
    const args = [
      'gateway',
      '--stack',
      join(folder, 'stack.yaml'),
      '--port',
      '0',
      '--metrics-port',
      '0',
      '--state-dir',
      folder,
    ]
    // Its output closes only when the program has ended, and not only the shell in between.
    const { out } = await hub(args, '/function/cat')
    expect(out).toContain('http://127.0.0.1:')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
