// Ends the functions' processes when the gateway itself was killed and could not: a tiny shell that holds their ids and acts
// when its pipe to the gateway breaks. A function with a blocked event loop would never notice by itself.

import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'

const SCRIPT = `
directory=$1
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
rm -rf -- "$directory"
`

export class Reaper implements Disposable {
  readonly #shell: ChildProcessByStdio<Writable, null, null>

  /** @param directory of the functions' sockets; removed at the end */
  constructor(directory: string) {
    this.#shell = startShell(directory)
  }

  /** The process group `pid` must not outlive the gateway. */
  watch(pid: number): void {
    this.#shell.stdin.write(`+ ${pid}\n`)
  }

  /** The group is gone; its number may be another's soon. */
  forget(pid: number): void {
    if (!this.#shell.stdin.writableEnded) this.#shell.stdin.write(`- ${pid}\n`)
  }

  /** Ends what is still watched. Idempotent. */
  [Symbol.dispose](): void {
    this.#shell.stdin.end()
  }
}

function startShell(directory: string): ChildProcessByStdio<Writable, null, null> {
  // A group of its own: Ctrl-C in the terminal is for the gateway, which then ends its functions in order.
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'reaper', directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  // Without a shell the functions still end with the gateway in every orderly way.
  shell.on('error', () => {})
  shell.stdin.on('error', () => {})
  shell.unref()
  ;(shell.stdin as Socket).unref()
  return shell
}
