// The command line of AWS, `aws`, in a Python environment of its own that pip fills.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { cacheFolder, fillCache } from '../servers/cache.ts'
import { findExecutable } from '../servers/process.ts'
import { runCommand, ServerUnavailable } from '../servers/provide.ts'
import type { Progress } from '../servers/provide.ts'
import type { Program, Provide } from './program.ts'

const VERSION = '1.46.3'
const ENVIRONMENT_MS = 120_000
/** Twenty seconds on an idle machine. */
const INSTALL_MS = 900_000

export const provideAwsCli: Provide = async (progress) => {
  const python = findExecutable('python3')
  if (python === undefined) throw new ServerUnavailable('no python3 on the PATH for the AWS command line')
  try {
    // An environment is one of a Python's: with another one on the PATH, another is made.
    const version = `${VERSION}-${pythonVersion(python)}`
    const built = cacheFolder('awscli', version)
    if (existsSync(built)) return described(built, 'cache, from pip')
    const folder = await fillCache('awscli', version, (staging) => install(python, staging, progress))
    return described(folder, 'downloaded by pip')
  } catch (error) {
    throw new ServerUnavailable(`AWS command line: ${(error as Error).message}`, { cause: error })
  }
}

/** The module and not the script beside Python, which names the folder where it was installed and not where that went. */
function described(folder: string, origin: string): Program {
  return { command: 'aws', argv: [join(folder, 'bin/python'), '-m', 'awscli'], version: VERSION, origin }
}

async function install(python: string, folder: string, progress: Progress): Promise<void> {
  await runCommand({ argv: [python, '-m', 'venv', folder], folder, timeoutMs: ENVIRONMENT_MS })
  const doing = `installing awscli ${VERSION}`
  progress(doing)
  const pip = [join(folder, 'bin/python'), '-m', 'pip', 'install', '--no-input', '--no-cache-dir', '--disable-pip-version-check'] as const // prettier-ignore
  await runCommand({ argv: [...pip, `awscli==${VERSION}`], folder, timeoutMs: INSTALL_MS, doing, progress })
}

/** `python-3.11.7`. */
function pythonVersion(python: string): string {
  return execFileSync(python, ['--version'], { encoding: 'utf8' }).trim().toLowerCase().replaceAll(' ', '-')
}
