// The package as it is published: built, packed, unpacked elsewhere, and its gateway started there serves the portal and runs
// functions.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

import { startProcess } from '../servers/process.ts'
import { FIXTURES, call, until } from './rig.ts'

const ROOT = join(import.meta.dirname, '../..')
const PAGE = join(ROOT, 'src/gateway/portal/page')
/** One of each runner of Node. */
const STACK = `provider: { name: openfaas }
functions:
  node: { lang: node22, handler: ${join(FIXTURES, 'esm')} }
  classic: { lang: node, handler: ${join(FIXTURES, 'classic-node')} }
`
const run = promisify(execFile)

test(
  'the published package has the portal, as it is in the sources, and what runs functions',
  { timeout: 240_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hub-package-'))
    try {
      // What npm runs before it packs, into a folder of its own.
      const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: ROOT })
      await run('tar', ['-xzf', join(folder, stdout.trim().split('\n').at(-1) ?? ''), '-C', folder])
      const unpacked = join(folder, 'package')
      symlinkSync(join(ROOT, 'node_modules'), join(unpacked, 'node_modules'))
      expect(readdirSync(join(unpacked, 'dist'))).not.toContain('test')
      const work = join(folder, 'work')
      mkdirSync(work)
      const stack = join(work, 'stack.yaml')
      writeFileSync(stack, STACK)
      const main = join(unpacked, 'dist/src/cli/main.js')
      // The examples of the connectors come along.
      expect((await run(process.execPath, [main, 'create', 'kafka'])).stdout).toContain('type: kafka')
      const args = [main, 'gateway', '--stack', stack, '--port', '0', '--json', '--state-dir', work]
      const gateway = startProcess(process.execPath, args)
      try {
        const address = (): string | undefined => /http:\/\/127\.0\.0\.1:\d+/.exec(gateway.output())?.[0]
        await until('the gateway says its address', () => address() !== undefined || gateway.child.exitCode !== null)
        for (const name of readdirSync(PAGE).filter((file) => /\.(html|css|js|svg)$/.test(file))) {
          const answer = await call(address() ?? '', `/ui/${name === 'index.html' ? '' : name}`)
          expect(answer.status).toBe(200)
          expect(answer.text).toBe(readFileSync(join(PAGE, name), 'utf8'))
        }
        expect((await call(address() ?? '', '/function/node', { body: 'runs' })).text).toBe('esm runs')
        expect((await call(address() ?? '', '/function/classic', { body: 'promise' })).text).toBe('promised')
        // What runs the first is the machine's; the other is read where KEDA is answered.
        for (const file of ['src/gateway/runtime/python/__main__.py', 'src/scaler/externalscaler.proto'])
          expect(readFileSync(join(unpacked, 'dist', file), 'utf8')).toBe(readFileSync(join(ROOT, file), 'utf8'))
      } finally {
        await gateway.kill('SIGTERM')
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
)
