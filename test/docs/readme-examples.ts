// The examples of all READMEs: what stands between fences, with its language. Called by the tests that run them.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')

export interface Example {
  /** From the root of the project. */
  readonly file: string
  readonly language: string
  readonly text: string
}

function examplesOf(file: string): readonly Example[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', body = '']) => ({
    file,
    language,
    text: body,
  }))
}

const READMES = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('README.md') && !path.includes('node_modules')) // prettier-ignore

export const EXAMPLES = READMES.flatMap(examplesOf)

/** What an example is known by. */
export const firstLine = ({ text }: Example): string => text.split('\n')[0] ?? ''
