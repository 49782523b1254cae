// Ends a process and all that it has started. For whoever runs programs of others, each as the leader of a group of its own.

/** The whole process group of a detached child: a shell's children too. */
export function killGroup(pid: number | undefined, signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // Nobody is left in it.
  }
}
