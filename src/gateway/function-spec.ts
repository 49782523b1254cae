// What is deployed: a function as OpenFaaS describes it, with the way it runs here. Plain data, made by images.ts.

/** How a function runs without a container engine. */
export type RuntimeSpec =
  /**
   * A folder with `module.exports = async (event, context)` or the same as an ES module's default export. `classic`: of
   * OpenFaaS's template `node`, `module.exports = (context, callback)`, a process per call.
   */
  | { readonly kind: 'node'; readonly handler: string; readonly classic?: boolean }
  /** A folder with `handler.py` and `handle(event, context)`. `classic`: of the template `python3`, `handle(req)`, a process per call. */
  | { readonly kind: 'python'; readonly handler: string; readonly classic?: boolean }
  /** A command that reads stdin and writes stdout, once per call; split at spaces, no quoting, as the watchdogs do. */
  | {
      readonly kind: 'process'
      readonly command: string
      readonly directory: string
      readonly mode: 'classic' | 'streaming' | 'serializing'
    }
  /** A command that is an HTTP server and lives on (of-watchdog's mode http). `url`: where it listens; port 0: any free one. */
  | { readonly kind: 'server'; readonly command: string; readonly directory: string; readonly url: string }
  /** Files (of-watchdog's mode static). */
  | { readonly kind: 'static'; readonly directory: string }
  /** A function that runs elsewhere. */
  | { readonly kind: 'upstream'; readonly url: string }

/** True for what runs between calls, too; the others have a process per call, or none here. */
export function keepsProcess(runtime: RuntimeSpec): boolean {
  if (runtime.kind === 'node' || runtime.kind === 'python') return runtime.classic !== true
  return runtime.kind === 'server'
}

/** `name.namespace` */
export function fullNameOf({ name, namespace }: { readonly name: string; readonly namespace: string }): string {
  return `${name}.${namespace}`
}

export interface Resources {
  readonly memory?: string
  readonly cpu?: string
}

export interface FunctionSpec {
  readonly name: string
  readonly namespace: string
  readonly image: string
  readonly envProcess: string
  readonly envVars: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
  readonly constraints: readonly string[]
  readonly limits: Resources
  readonly requests: Resources
  readonly readOnlyRootFilesystem: boolean
  readonly runtime: RuntimeSpec
}
