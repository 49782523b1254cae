// `completion`: the script for a shell, made from the grammar that the program itself reads.

import type { Command } from 'commander'

import { builtInTypes } from '../../hub/registry.ts'
import { HubError } from '../../sdk/index.ts'
import { SHELLS, completionScript } from '../completion.ts'
import type { CommandTree, Shell } from '../completion.ts'
import { EXIT } from '../output.ts'
import type { Output } from '../output.ts'

/** @throws HubError HUB_USAGE for a shell that is not known */
export function completion(shell: string, program: Command, output: Output): number {
  if (!isShell(shell)) throw new HubError('HUB_USAGE', `there is no completion for ${shell}`, { hint: `Name one of ${SHELLS.join(', ')}.` }) // prettier-ignore
  output.write(completionScript(shell, treeOf(program)))
  return EXIT.ok
}

function isShell(text: string): text is Shell {
  return SHELLS.some((shell) => shell === text)
}

/** Commander has `--help` beside the options that are declared. */
const HELP = { flags: ['--help', '-h'], description: 'display help for command', takesValue: false } as const

function treeOf(command: Command): CommandTree {
  const [first] = command.registeredArguments
  const isConnector = first !== undefined && /^connectors?$/.test(first.name())
  return {
    name: command.name(),
    description: command.description(),
    options: [
      ...command.options.map(({ long, short, description, required, optional }) => ({
        flags: [long, short].flatMap((flag) => (flag === null || flag === undefined ? [] : [flag])),
        description,
        takesValue: required || optional,
      })),
      HELP,
    ],
    commands: command.commands.map(treeOf),
    words: isConnector ? builtInTypes() : first?.name() === 'shell' ? SHELLS : [],
  }
}
