// The package as it is published: built, packed, unpacked elsewhere, and its gateway started there serves the portal.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

import { startProcess } from '../servers/process.ts'
import { call, until } from './rig.ts'

const ROOT = join(import.meta.dirname, '../..')
const PAGE = join(ROOT, 'src/gateway/portal/page')
const run = promisify(execFile)

test('the published package has the portal, as it is in the sources', { timeout: 240_000 }, async () => {
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
    const args = [join(unpacked, 'dist/src/cli/main.js'), 'gateway', '--port', '0', '--json', '--state-dir', work]
    const gateway = startProcess(process.execPath, args)
    try {
      const address = (): string | undefined => /http:\/\/127\.0\.0\.1:\d+/.exec(gateway.output())?.[0]
      await until('the gateway says its address', () => address() !== undefined || gateway.child.exitCode !== null)
      for (const name of readdirSync(PAGE).filter((file) => /\.(html|css|js|svg)$/.test(file))) {
        const answer = await call(address() ?? '', `/ui/${name === 'index.html' ? '' : name}`)
        expect(answer.status).toBe(200)
        expect(answer.text).toBe(readFileSync(join(PAGE, name), 'utf8'))
      }
    } finally {
      await gateway.kill('SIGTERM')
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
