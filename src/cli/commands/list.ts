// `list`: the connectors and what each of them promises.

import { builtInTypes, loadManifest } from '../../hub/registry.ts'
import { termsByVariant } from '../../sdk/index.ts'
import { EXIT, table } from '../output.ts'
import type { Output } from '../output.ts'

export async function list(options: { readonly json?: boolean }, output: Output): Promise<number> {
  const manifests = await Promise.all(builtInTypes().map(loadManifest))
  if (options.json === true) {
    const connectors = manifests.map((manifest) => {
      const { name, title, description, status, trigger } = manifest
      const [terms, ...variants] = termsByVariant(manifest)
      return { name, title, description, status, trigger, ...terms, variants }
    })
    output.write(`${JSON.stringify({ connectors }, null, 2)}\n`)
    return EXIT.ok
  }
  const rows = manifests.flatMap((manifest) =>
    termsByVariant(manifest).map(({ when, guarantee, order, capabilities }) => [
      when === undefined ? manifest.name : `  ${when}`,
      when === undefined ? manifest.status : '',
      guarantee,
      order,
      RETRY[capabilities.retry],
      capabilities.reject === 'broker' ? 'broker' : 'hub',
      when === undefined ? manifest.description : '',
    ]),
  )
  output.write(
    table(['CONNECTOR', 'STATUS', 'GUARANTEE', 'ORDER', 'RETRY', 'DEAD LETTERS', 'TRIGGER'], rows, output.color),
  )
  return EXIT.ok
}

const RETRY = { delayed: 'given back, delayed', immediate: 'given back', held: 'by the hub' } as const
