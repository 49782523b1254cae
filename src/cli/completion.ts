// Completion for shells, made from the grammar itself. Pure; printed by `completion`.

/** A command as the shells need to know it. */
export interface CommandTree {
  readonly name: string
  readonly description: string
  /** Long and short, as typed: `--config`, `-c`. */
  readonly options: readonly { readonly flags: readonly string[]; readonly description: string; readonly takesValue: boolean }[] // prettier-ignore
  readonly commands: readonly CommandTree[]
  /** Words that may stand for its first argument. */
  readonly words: readonly string[]
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

export function completionScript(shell: Shell, root: CommandTree): string {
  if (shell === 'fish') return fishScript(root)
  const bash = bashScript(root)
  // Zsh runs bash's own through its emulation, so both know the same.
  return shell === 'bash' ? bash : `autoload -Uz compinit bashcompinit\ncompinit -u\nbashcompinit\n${bash}`
}

function bashScript(root: CommandTree): string {
  const name = `_${root.name.replaceAll('-', '_')}`
  const all = paths(root)
  const known = all.flatMap(({ path }) => (path === '' ? [] : [`"${path}"`])).join('|')
  const cases = all.map(({ path, command }) => `    "${path}") words="${wordsOf(command).join(' ')}" ;;`)
  return [
    `${name}() {`,
    '  local cur="${COMP_WORDS[COMP_CWORD]}" seen="" words="" i=1',
    '  while [ "$i" -lt "$COMP_CWORD" ]; do',
    '    case "$seen ${COMP_WORDS[i]}" in',
    `      ${known}) seen="$seen \${COMP_WORDS[i]}" ;;`,
    '    esac',
    '    i=$((i + 1))',
    '  done',
    '  case "$seen" in',
    ...cases,
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
    '}',
    `complete -o default -F ${name} ${root.name}`,
    '',
  ].join('\n')
}

function fishScript(root: CommandTree): string {
  const lines = [`# ${root.name}`]
  for (const { path, command } of paths(root)) {
    const words = path.split(' ').filter((word) => word !== '')
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`)
    const deeper = command.commands.map((one) => one.name)
    const here = [...seen, ...(deeper.length === 0 ? [] : [`not __fish_seen_subcommand_from ${deeper.join(' ')}`])]
    const when = here.length === 0 ? '' : ` -n ${quoted(here.join('; and '))}`
    for (const { name, description } of command.commands) lines.push(`complete -c ${root.name}${when} -f -a ${name} -d ${quoted(description)}`) // prettier-ignore
    for (const word of command.words) lines.push(`complete -c ${root.name}${when} -f -a ${word}`)
    for (const { flags, description, takesValue } of command.options) {
      const named = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
      lines.push(
        `complete -c ${root.name}${when} ${named.join(' ')}${takesValue ? ' -r' : ''} -d ${quoted(description)}`,
      )
    }
  }
  return `${lines.join('\n')}\n`
}

function wordsOf({ commands, options, words }: CommandTree): readonly string[] {
  return [...commands.map(({ name }) => name), ...words, ...options.flatMap(({ flags }) => flags)]
}

/** Every command with the words that lead to it: ` cron next`; the root by none. */
function paths(command: CommandTree, path = ''): readonly { readonly path: string; readonly command: CommandTree }[] {
  return [{ path, command }, ...command.commands.flatMap((one) => paths(one, `${path} ${one.name}`))]
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
