// What the command line does with webhooks: what was accepted and waits is read from the hub's own disk, and test events are
// posted to the running hub. There is no broker beside it.

import type { EventMessage, Peek, ToolContext, Tools } from '../../src/sdk/index.ts'
import { openEmitter } from './emit.ts'
import type { WebhookConfig } from './hooks.ts'

export function webhookTools(config: WebhookConfig, context: ToolContext): Tools {
  return {
    peek: (_wanted, signal) => Promise.resolve(peek(context, signal)),
    emitter: (signal) => Promise.resolve(openEmitter(config, context, signal)),
  }
}

/** Whatever is wanted: the hub would get all of it, and say which of it no function wants any more. */
function peek(context: ToolContext, signal: AbortSignal): Peek {
  return {
    means: "Requests that were accepted and wait for their functions are read from the hub's disk in stateDir, and stay there.", // prettier-ignore
    caution: 'New requests are not seen: they go to the running hub, and nobody else can look at them without taking them. See connector-hub tail.', // prettier-ignore
    events: () => stored(context, signal),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

// Asynchronous as the contract asks for; reading the disk is not.
async function* stored(context: ToolContext, signal: AbortSignal): AsyncGenerator<EventMessage, void> {
  for (const event of context.stored()) {
    if (signal.aborted) return
    yield event
  }
}
