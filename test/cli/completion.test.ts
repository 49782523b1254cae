// `completion` in the shells themselves: what they offer for a line that is begun.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { provideExecutable } from '../servers/debian-package.ts'
import { cli } from './cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'hub-completion-'))
const script = (shell: string): string => join(folder, shell)
beforeAll(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) writeFileSync(script(shell), (await cli(['completion', shell])).stdout)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What is begun, and the only word that it can become. */
const BEGUN = [
  [['do'], 'doctor'],
  [['plan', '--ag'], '--against'],
  [['cron', 'ne'], 'next'],
  [['run', 'mq'], 'mqtt'],
  [['dead-letters', 'redrive', '--dry'], '--dry-run'],
  [['dead-letters', 're'], 'redrive'],
] as const

function run(shell: string, ...args: readonly string[]): string {
  const env = { ...process.env, HOME: folder, ZDOTDIR: folder }
  return execFileSync(shell, args, { encoding: 'utf8', env, timeout: 60_000 })
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

/** The words that it offers. */
const OFFERS: Readonly<Record<string, (words: readonly string[], whole: string) => readonly (string | undefined)[]>> = {
  // Calls the function that the shell calls for the last word of a line.
  bash: (words) =>
    lines(
      run(
        'bash',
        '--norc',
        '-c',
        `source ${script('bash')}; COMP_WORDS=(connector-hub ${words.join(' ')}); COMP_CWORD=${words.length}; _connector_hub; printf '%s\n' "\${COMPREPLY[@]}"`,
      ),
    ),
  // Its completion works in a terminal only: one is opened, the line is begun, and the tabulator typed.
  zsh: (words, whole) => {
    const shown = run(
      'zsh',
      '-f',
      '-c',
      `zmodload zsh/zpty; zpty z 'TERM=dumb zsh -f -i'
      zpty -w z 'PS1=; source ${script('zsh')}; echo RE""ADY'; zpty -r -m z seen '*READY*'
      zpty -w -n z $'connector-hub ${words.join(' ')}\\t'; zpty -r -m z seen '*${whole} *'; print -r -- "$seen"; zpty -d z`,
    )
    return [shown.includes(`connector-hub ${[...words.slice(0, -1), whole].join(' ')} `) ? whole : shown]
  },
  fish: (words) =>
    lines(
      run('fish', '--no-config', '-c', `source ${script('fish')}; complete -C 'connector-hub ${words.join(' ')}'`),
    ).map((line) => line.split('\t')[0]),
}

test.for(['bash', 'zsh', 'fish'])(
  '%s completes commands, options and connectors',
  { timeout: 300_000 },
  (shell, context) => {
    const provided = provideExecutable(shell, shell)
    if (provided.path === undefined) return context.skip(provided.reason)
    for (const [words, whole] of BEGUN) expect(OFFERS[shell]?.(words, whole)).toEqual([whole])
  },
)

test('of another shell there is none', async () => {
  const { code, stderr } = await cli(['completion', 'tcsh'])
  expect([code, stderr]).toEqual([2, 'HUB_USAGE: there is no completion for tcsh. Name one of bash, zsh, fish.\n'])
})
