// A function that runs elsewhere: a plain HTTP server of the test's own, and the function that leads to it.

import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { processFunction } from './rig.ts'

export interface Upstream extends AsyncDisposable {
  readonly server: Server
  readonly spec: FunctionSpec
}

/** @param name of the function */
export async function startUpstream(
  name: string,
  serve: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Upstream> {
  const server = createServer(serve)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    server,
    spec: { ...processFunction(name, ''), runtime: { kind: 'upstream', url } },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
