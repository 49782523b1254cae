// `list`: the connectors and what each of them promises.

import { builtInTypes, loadManifest } from '../../hub/registry.ts'
import { EXIT, table } from '../output.ts'
import type { Output } from '../output.ts'

export async function list(options: { readonly json?: boolean }, output: Output): Promise<number> {
  const manifests = await Promise.all(builtInTypes().map(loadManifest))
  if (options.json === true) {
    const connectors = manifests.map(
      ({ name, title, description, status, guarantee, guaranteeNote, trigger, order, capabilities }) => ({
        name,
        title,
        description,
        status,
        guarantee,
        guaranteeNote,
        trigger,
        order,
        capabilities,
      }),
    )
    output.write(`${JSON.stringify({ connectors }, null, 2)}\n`)
    return EXIT.ok
  }
  const rows = manifests.map(({ name, status, guarantee, order, capabilities, description }) => [
    name,
    status,
    guarantee,
    order,
    RETRY[capabilities.retry],
    capabilities.reject === 'broker' ? 'broker' : 'hub',
    description,
  ])
  output.write(
    table(['CONNECTOR', 'STATUS', 'GUARANTEE', 'ORDER', 'RETRY', 'DEAD LETTERS', 'TRIGGER'], rows, output.color),
  )
  return EXIT.ok
}

const RETRY = { delayed: 'by the broker, delayed', immediate: 'by the broker', held: 'by the hub' } as const
