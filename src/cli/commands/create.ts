// `create`: the smallest configuration of a connector that works, with a function that it triggers.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { exampleOf } from '../../hub/registry.ts'
import { HubError } from '../../sdk/index.ts'
import { EXIT, paint, printable } from '../output.ts'
import type { Output } from '../output.ts'

export interface CreateOptions {
  readonly dir?: string
  readonly json?: boolean
}

/** `# hub.yaml` at the start of a document says which file it is. */
const TITLE = /^# (hub|stack)\.yaml\n/
/** The schema that the examples name lies beside them in the sources, not beside a user's file. */
const SCHEMA_LINE = /^# yaml-language-server:.*\n/m

/** @throws HubError HUB_CONNECTOR_UNKNOWN; HUB_USAGE when a file is there already */
export function create(type: string, options: CreateOptions, output: Output): number {
  const files = exampleOf(type)
    .split(/^---\n/m)
    .map((document) => ({ name: `${TITLE.exec(document)?.[1] ?? 'hub'}.yaml`, text: document.replace(TITLE, '').replace(SCHEMA_LINE, '') })) // prettier-ignore
  if (options.json === true) {
    output.write(`${JSON.stringify({ connector: type, files }, null, 2)}\n`)
    return EXIT.ok
  }
  if (options.dir === undefined) {
    for (const { name, text } of files) output.write(`${paint(output.color, 'bold', `# ${name}`)}\n${text}\n`)
    return EXIT.ok
  }
  const paths = files.map(({ name }) => join(options.dir ?? '', name))
  const taken = paths.find((path) => existsSync(path))
  if (taken !== undefined) throw new HubError('HUB_USAGE', `${taken} is there already`, { hint: 'Name another folder with --dir, or leave it out to see the files.' }) // prettier-ignore
  mkdirSync(options.dir, { recursive: true })
  for (const [index, { text }] of files.entries()) {
    writeFileSync(paths[index] as string, text)
    output.write(`${printable(paths[index] as string)}\n`)
  }
  output.write(`\nSet the addresses and secrets, then: connector-hub plan -c ${printable(join(options.dir, 'hub.yaml'))} --stack ${printable(join(options.dir, 'stack.yaml'))}\n`) // prettier-ignore
  return EXIT.ok
}
