// Keeps a gateway at what stack files say, while they change. Takes away only what it has deployed itself. Used by `dev` and
// `gateway`; the code of a function is watched by the gateway.

import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'

import { StackWatcher, readStackFile } from '../discovery/index.ts'
import type { DiscoveryEvents, FunctionWatcher, StackFunction } from '../discovery/index.ts'
import { fullNameOf } from '../gateway/function-spec.ts'
import type { FunctionSpec, Gateway } from '../gateway/gateway.ts'
import type { Images } from '../gateway/images.ts'
import { isSecretName } from '../gateway/secret-store.ts'
import { HubError, errorText, systemClock } from '../sdk/index.ts'
import type { FunctionChoice } from './function-choice.ts'
import { errorLine } from './output.ts'
import type { Output } from './output.ts'
import { personLog } from './person-log.ts'
import { SecretFiles } from './secret-files.ts'

export interface StackDeploymentOptions {
  readonly gateway: Gateway
  readonly images: Images
  readonly paths: readonly string[]
  /** Filled into the files. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Of functions that name none. */
  readonly namespace: string
  readonly choice: FunctionChoice
  readonly output: Output
}

export class StackDeployment {
  readonly #options: StackDeploymentOptions
  readonly #deployed = new Map<string, FunctionSpec>()
  readonly #said = new Set<string>()
  readonly #secretFiles: SecretFiles
  /** What the gateway has of them from their files, by full name: it may be replaced by what they say now. */
  readonly #provided = new Map<string, Uint8Array>()

  constructor(options: StackDeploymentOptions) {
    this.#options = options
    this.#secretFiles = new SecretFiles(options.paths, systemClock)
  }

  /** Of the files that run here. */
  get functions(): readonly FunctionSpec[] {
    return [...this.#deployed.values()]
  }

  /** For the start: reads the files and deploys. @throws HubError HUB_CONFIG_UNREADABLE, HUB_USAGE when no function is chosen */
  async deploy(): Promise<void> {
    await this.#deploy(chosenFunctions(this.#options))
  }

  /**
   * A watcher of the files whose functions are deployed before it tells of them, and until it no longer does: no event meets
   * a missing one. Not following, it tells once.
   */
  watcher(events: DiscoveryEvents, follow: boolean): FunctionWatcher {
    const { paths, env, namespace, choice, output } = this.#options
    const watcher = new StackWatcher({ paths, env, namespace, clock: systemClock, events })
    let order = Promise.resolve()
    const inOrder = (work: () => Promise<void>): void => {
      order = order.then(work).catch((error: unknown) => output.warn(errorLine(error, output.warnColor)))
    }
    return {
      start: (onSnapshot) => {
        watcher.start((snapshot) => {
          const functions = snapshot.functions.filter(({ name }) => choice(name))
          inOrder(async () => {
            const removeOthers = await this.#deploy(functions)
            onSnapshot({ ...snapshot, functions })
            await removeOthers()
          })
        })
        if (follow) this.#secretFiles.follow(() => inOrder(() => this.#provideSecrets()))
        // It has read.
        else void watcher.close()
      },
      status: () => watcher.status(),
      close: async () => {
        this.#secretFiles[Symbol.dispose]()
        await watcher.close()
        await order
      },
    }
  }

  /** New and changed functions. @returns removes those that we have deployed and that are not among them */
  async #deploy(functions: readonly StackFunction[]): Promise<() => Promise<void>> {
    const { gateway } = this.#options
    const { specs, problems } = functionSpecs(functions, this.#options.images)
    for (const problem of [...problems, ...withoutEffect(functions)]) this.#warn(problem)
    const wanted = new Set<string>()
    for (const spec of specs) {
      const fullName = fullNameOf(spec)
      wanted.add(fullName)
      await gateway.provideNamespace(spec.namespace)
      for (const secret of spec.secrets) await this.#provideSecret(spec, secret)
      // What a client has deployed in its place stays until the file says something new of it.
      if (isDeepStrictEqual(this.#deployed.get(fullName), spec)) continue
      await gateway.deploy(spec)
      this.#deployed.set(fullName, spec)
    }
    return async () => {
      for (const fullName of this.#deployed.keys()) {
        if (wanted.has(fullName)) continue
        this.#deployed.delete(fullName)
        await gateway.remove(fullName)
      }
    }
  }

  async #provideSecrets(): Promise<void> {
    for (const spec of this.#deployed.values())
      for (const secret of spec.secrets) await this.#provideSecret(spec, secret)
  }

  /** From `.secrets` beside the stack file. */
  async #provideSecret({ name, namespace }: FunctionSpec, secret: string): Promise<void> {
    const { gateway } = this.#options
    if (!isSecretName(secret)) {
      this.#warn(
        `secret ${secret} of ${name} is not made: it is no name of a secret, which has lower-case letters, digits, "-" and "."`,
      )
      return
    }
    const file = this.#secretFiles.find(secret)
    if (file === undefined) {
      if (!gateway.hasSecret(namespace, secret))
        this.#warn(
          `secret ${secret} of ${name} is missing: write it to ${this.#secretFiles.placeOf(secret)}, or make it with faas-cli secret create`,
        )
      return
    }
    const value = this.#contentOf(file)
    if (value === undefined) return
    const fullName = `${secret}.${namespace}`
    const provided = await gateway.provideSecret(namespace, secret, value, this.#provided.get(fullName))
    if (provided !== 'different') this.#provided.set(fullName, value)
    else
      this.#warn(
        `secret ${secret} of namespace ${namespace} stays what the gateway has kept, which is not what ${file} says: change it with faas-cli secret update`,
      )
    if (provided === 'changed')
      personLog(this.#options.output).info('', `secret ${secret} of namespace ${namespace} is now what ${file} says`)
  }

  #contentOf(file: string): Uint8Array | undefined {
    try {
      return readFileSync(file)
    } catch (error) {
      this.#warn(`the secret in ${file} cannot be read: ${errorText(error)}`)
      return undefined
    }
  }

  /** Once, however often the files are read. */
  #warn(text: string): void {
    if (this.#said.has(text)) return
    this.#said.add(text)
    personLog(this.#options.output).warn('', text)
  }
}

/** Starts nothing. @throws HubError HUB_CONFIG_UNREADABLE, HUB_USAGE when no function is chosen */
export function chosenFunctions({
  paths,
  env,
  namespace,
  choice,
}: Pick<StackDeploymentOptions, 'paths' | 'env' | 'namespace' | 'choice'>): readonly StackFunction[] {
  const declared = paths.flatMap((path) => readStackFile(path, { env, namespace }).functions)
  const chosen = declared.filter(({ name }) => choice(name))
  if (chosen.length > 0 || declared.length === 0) return chosen
  throw new HubError('HUB_USAGE', 'no function of the stack files is chosen by --filter or --regex', {
    hint: `There are ${declared.map(({ name }) => name).join(', ')}.`,
  })
}

/**
 * Stack functions as the gateway deploys them; one that cannot run here is named with the reason. Of two with one name the
 * first counts. Their images are registered, so that a deployment that names one runs from the same folder.
 */
export function functionSpecs(
  functions: readonly StackFunction[],
  images: Images,
): { readonly specs: readonly FunctionSpec[]; readonly problems: readonly string[] } {
  const specs = new Map<string, FunctionSpec>()
  const problems: string[] = []
  for (const declared of functions) {
    if (specs.has(declared.fullName)) continue
    const { lang, handler } = declared
    const image = declared.image ?? `local/${declared.name}`
    const said = { image, envProcess: declared.fprocess ?? '', envVars: declared.environment }
    images.register(image, { lang, handler })
    const runtime = images.runtimeOf(said)
    if (typeof runtime === 'string') problems.push(`${declared.fullName} is not run: ${runtime}`)
    else specs.set(declared.fullName, { ...specOf(declared), ...said, runtime })
  }
  return { specs: [...specs.values()], problems }
}

function specOf(declared: StackFunction): Omit<FunctionSpec, 'image' | 'envProcess' | 'envVars' | 'runtime'> {
  const { name, namespace, labels, annotations, secrets, constraints, limits, requests } = declared
  return {
    name,
    namespace,
    labels,
    annotations,
    secrets,
    constraints,
    limits,
    requests,
    readOnlyRootFilesystem: declared.readonlyRootFilesystem,
  }
}

/** What somebody may rely on that only a container gives: one sentence for all of it. */
function withoutEffect(functions: readonly StackFunction[]): readonly string[] {
  const namesByKey = new Map<string, string[]>()
  for (const { name, limits, constraints, readonlyRootFilesystem, buildKeys } of functions) {
    const keys = [
      ...(Object.keys(limits).length > 0 ? ['limits'] : []),
      ...(constraints.length > 0 ? ['constraints'] : []),
      ...(readonlyRootFilesystem ? ['readonly_root_filesystem'] : []),
      ...buildKeys,
    ]
    for (const key of keys) namesByKey.set(key, [...(namesByKey.get(key) ?? []), name])
  }
  if (namesByKey.size === 0) return []
  const keys = [...namesByKey].map(([key, names]) => `${key} of ${names.join(', ')}`)
  return [`no effect here have ${keys.join('; ')}: functions run as processes of this machine, not in containers`]
}
