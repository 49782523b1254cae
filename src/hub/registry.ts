// Finds connectors: folders beside the hub, and packages or paths that a configuration names. Names none itself.

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

import { HubError, errorText, nearest } from '../sdk/index.ts'
import type { Connector, Manifest, StartEmbedded } from '../sdk/index.ts'

const FOLDER = fileURLToPath(new URL('../../connectors/', import.meta.url))
/** `.ts` from a clone, `.js` when compiled. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js'

/** Names of the connectors that come with the hub. */
export function builtInTypes(): readonly string[] {
  return readdirSync(FOLDER, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(FOLDER, entry.name, `manifest${EXTENSION}`)))
    .map((entry) => entry.name)
    .sort()
}

/** Those that work without a broker of one's own: `dev` runs them, and `plan` and `lint` assume them without a configuration. */
export async function selfContainedTypes(): Promise<readonly string[]> {
  const manifests = await Promise.all(builtInTypes().map(loadManifest))
  return manifests.filter(({ name, trigger }) => trigger === 'schedule' || existsSync(embeddedFile(name))).map(({ name }) => name) // prettier-ignore
}

/** The manifest alone: loads no broker client. @throws HubError HUB_CONNECTOR_UNKNOWN, HUB_CONNECTOR_BROKEN */
export async function loadManifest(type: string): Promise<Manifest> {
  if (!builtInTypes().includes(type)) return (await loadConnector(type)).manifest
  const module = await load(type, builtInFile(type, 'manifest'))
  const manifest = module['manifest'] as Manifest | undefined
  if (manifest?.name !== type)
    throw new HubError(
      'HUB_CONNECTOR_BROKEN',
      `connectors/${type}/manifest${EXTENSION} does not export a manifest named ${type}`,
    )
  return manifest
}

/** @throws HubError HUB_CONNECTOR_UNKNOWN, HUB_CONNECTOR_BROKEN */
export async function loadConnector(type: string): Promise<Connector> {
  const specifier = builtInTypes().includes(type) ? builtInFile(type, 'connector') : external(type)
  const connector = (await load(type, specifier))['default'] as Connector | undefined
  if (typeof connector?.create !== 'function' || typeof connector.manifest?.name !== 'string') {
    throw new HubError('HUB_CONNECTOR_BROKEN', `${type} has no connector as its default export`)
  }
  return connector
}

/** The embedded broker of a built-in connector, where it has one. */
export async function loadEmbedded(type: string): Promise<StartEmbedded | undefined> {
  const file = embeddedFile(type)
  if (!existsSync(file)) return undefined
  return (await load(type, pathToFileURL(file).href))['default'] as StartEmbedded
}

/** Text of the example of a built-in connector: hub.yaml and stack.yaml in one. @throws HubError HUB_CONNECTOR_UNKNOWN */
export function exampleOf(type: string): string {
  if (!builtInTypes().includes(type)) throw unknown(type)
  return readFileSync(join(FOLDER, type, 'example.yaml'), 'utf8')
}

function embeddedFile(type: string): string {
  return join(FOLDER, type, `embedded${EXTENSION}`)
}

function builtInFile(type: string, file: 'manifest' | 'connector'): string {
  return pathToFileURL(join(FOLDER, type, file + EXTENSION)).href
}

/** A path when it looks like one, else a package. */
function external(type: string): string {
  if (/^[./]/.test(type)) return pathToFileURL(resolve(type)).href
  if (type.includes('/') || type.startsWith('@') || type.includes('-')) return type
  throw unknown(type)
}

function unknown(type: string): HubError {
  const near = nearest(type, builtInTypes())
  const known = builtInTypes().join(', ')
  return new HubError('HUB_CONNECTOR_UNKNOWN', `there is no connector "${type}"`, {
    hint: near === undefined ? `The connectors are: ${known}.` : `Did you mean ${near}? The connectors are: ${known}.`,
  })
}

async function load(type: string, specifier: string): Promise<Record<string, unknown>> {
  try {
    return (await import(specifier)) as Record<string, unknown>
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const missing = code === 'ERR_MODULE_NOT_FOUND' && errorText(error).includes(specifier)
    throw new HubError(
      missing ? 'HUB_CONNECTOR_UNKNOWN' : 'HUB_CONNECTOR_BROKEN',
      `connector "${type}" cannot be loaded: ${errorText(error)}`,
      { cause: error },
    )
  }
}
