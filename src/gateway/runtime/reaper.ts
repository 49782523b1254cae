// Ends the functions' processes when the gateway itself was killed and could not: a tiny shell that holds their ids and
// acts when its pipe to the gateway breaks. A function with a blocked event loop would never notice by itself.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'

const SCRIPT = `
set --
while read -r op pid; do
  case $op in
  +) set -- "$@" "$pid" ;;
  -)
    left=$#
    while [ "$left" -gt 0 ]; do
      first=$1
      shift
      [ "$first" = "$pid" ] || set -- "$@" "$first"
      left=$((left - 1))
    done
    ;;
  esac
done
for pid; do kill -s KILL -- "-$pid"; done
`

export class Reaper implements Disposable {
  #shell: ChildProcess | undefined

  /** The process group `pid` must not outlive the gateway. */
  watch(pid: number): void {
    this.#shell ??= startShell()
    this.#shell.stdin?.write(`+ ${pid}\n`)
  }

  /** The group is gone; its number may be another's soon. */
  forget(pid: number): void {
    this.#shell?.stdin?.write(`- ${pid}\n`)
  }

  /** Ends what is still watched. Idempotent. */
  [Symbol.dispose](): void {
    this.#shell?.stdin?.end()
    this.#shell = undefined
  }
}

function startShell(): ChildProcess {
  // A group of its own: Ctrl-C in the terminal is for the gateway, which then ends its functions in order.
  const shell = spawn('/bin/sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  // Without a shell the functions still end with the gateway in every orderly way.
  shell.on('error', () => {})
  shell.stdin.on('error', () => {})
  shell.unref()
  ;(shell.stdin as typeof shell.stdin & { unref(): void }).unref()
  return shell
}
