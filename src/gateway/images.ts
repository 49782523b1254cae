// From an image and its settings to a way of running it without a container engine: the folder that a stack file names, a
// folder of the same name, or what `fprocess` and the watchdog's own variables say. Starts nothing.

import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'

import { redactUrl } from '../sdk/index.ts'
import type { RuntimeSpec } from './function-spec.ts'

/** Of a stack file: what a build would have put into the image. */
export interface ImageSource {
  readonly lang: string | undefined
  /** Absolute. */
  readonly handler: string | undefined
}

export interface ImageRequest {
  readonly image: string
  readonly envProcess: string
  readonly envVars: Readonly<Record<string, string>>
}

export interface ImagesOptions {
  /** Where commands run that belong to no folder, and where folders of images are looked for. */
  readonly directory: string
}

/** Set by the templates' own images; with them the template runs the handler, whatever a deployment repeats. */
const TEMPLATE_COMMANDS = new Set(['node index.js', 'node bootstrap.js', 'python index.py', 'python3 index.py'])
const HANDLERS: readonly (readonly [file: string, kind: 'node' | 'python'])[] = [
  ['handler.js', 'node'],
  ['handler.mjs', 'node'],
  ['handler.cjs', 'node'],
  ['handler.ts', 'node'],
  ['handler.py', 'python'],
]
/** As images are named; `..` is none. */
const FOLDER_NAME = /^[a-z0-9][a-z0-9._-]*$/i
/** A server in mode http whose address nobody states is told a free port. */
const UPSTREAM_URL = 'http://127.0.0.1:0'
/** The languages whose templates run on the classic watchdog: a process per call. */
const CLASSIC_LANG = /^(?:node|python|python3|python27)(?:-(?:armhf|arm64|debian))?$/

export class Images {
  readonly #directory: string
  readonly #sources = new Map<string, ImageSource>()

  constructor({ directory }: ImagesOptions) {
    this.#directory = resolve(directory)
  }

  /** A later deployment of this image runs from this source. */
  register(image: string, source: ImageSource): void {
    this.#sources.set(image, source)
  }

  /** A sentence where there is no way to run it. */
  runtimeOf({ image, envProcess, envVars }: ImageRequest): RuntimeSpec | string {
    const source = this.#sources.get(image) ?? this.#folderOf(image)
    const directory = source?.handler ?? this.#directory
    const command = (envProcess || envVars['fprocess'] || '').trim()
    const upstream = envVars['http_upstream_url'] ?? envVars['upstream_url']
    if (command !== '' && !(source?.handler !== undefined && TEMPLATE_COMMANDS.has(command)))
      return commandRuntime(command, directory, envVars['mode'], upstream)
    if (envVars['mode'] === 'static')
      return { kind: 'static', directory: resolve(directory, envVars['static_path'] ?? '.') }
    const kind = source === undefined ? undefined : handlerKind(source)
    if (source?.handler !== undefined && kind !== undefined)
      return { kind, handler: source.handler, ...(CLASSIC_LANG.test(source.lang ?? '') ? { classic: true } : {}) }
    if (upstream === undefined) return problemOf(image, source)
    return isHttpUrl(upstream) ? { kind: 'upstream', url: upstream } : notHttp(upstream)
  }

  /** Of the image's own name, without registry, tag and digest. */
  #folderOf(image: string): ImageSource | undefined {
    const name = basename(image).replace(/[:@].*$/, '')
    if (!FOLDER_NAME.test(name)) return undefined
    const handler = join(this.#directory, name)
    return HANDLERS.some(([file]) => existsSync(join(handler, file))) ? { lang: undefined, handler } : undefined
  }
}

function commandRuntime(
  command: string,
  directory: string,
  mode: string | undefined,
  upstream: string | undefined,
): RuntimeSpec | string {
  if (mode === 'http') {
    const url = upstream ?? UPSTREAM_URL
    return isHttpUrl(url) ? { kind: 'server', command, directory, url } : notHttp(url)
  }
  return {
    kind: 'process',
    command,
    directory,
    mode: mode === 'streaming' || mode === 'serializing' ? mode : 'classic',
  }
}

function isHttpUrl(text: string): boolean {
  return ['http:', 'https:'].includes(URL.parse(text)?.protocol ?? '')
}

function notHttp(text: string): string {
  return `upstream_url ${redactUrl(text)} is not an http or https URL`
}

function handlerKind({ lang, handler }: ImageSource): 'node' | 'python' | undefined {
  if (lang?.startsWith('node') === true) return 'node'
  if (lang?.startsWith('python') === true) return 'python'
  if (lang !== undefined || handler === undefined) return undefined
  return HANDLERS.find(([file]) => existsSync(join(handler, file)))?.[1]
}

function problemOf(image: string, source: ImageSource | undefined): string {
  if (source?.handler !== undefined && source.lang !== undefined) return `the bundled gateway runs lang node* and python*, and any fprocess, not lang ${source.lang}` // prettier-ignore
  return `there is no container engine to run image ${image}: set fprocess, upstream_url, or a handler folder`
}
