// The one error type and the one table of codes. Callers match on `code`, people read `message` and `hint`.

/** Every code the hub can report: what it means and how it is mended. The README's table is generated from this. */
export const ERROR_CODES = {
  HUB_CONFIG_INVALID: {
    meaning: 'The configuration has unknown keys, missing values or values of the wrong form.',
    fix: 'Correct the keys that the error names; `connector-hub lint` prints them with line and column.',
  },
  HUB_CONFIG_UNREADABLE: {
    meaning: 'A configuration file, stack file or secret file could not be read or is not YAML.',
    fix: 'Check the path, the permissions and the syntax at the position in the message.',
  },
  HUB_CONNECTOR_UNKNOWN: {
    meaning: 'The configuration names a connector type that is not installed.',
    fix: 'Use a type from `connector-hub list`, or the package name or path of your own connector.',
  },
  HUB_CONNECTOR_BROKEN: {
    meaning: 'A connector folder or package does not export what a connector must export.',
    fix: 'Export a manifest from manifest.ts and the connector as the default export of connector.ts.',
  },
  HUB_ANNOTATION_INVALID: {
    meaning:
      "A function's annotation has an unknown key or an invalid value; only that trigger or setting is left out.",
    fix: 'Correct the annotation that the finding names; the other triggers of the function keep working.',
  },
  HUB_DISCOVERY_FAILED: {
    meaning: 'The list of functions could not be read; the last good wiring stays in force.',
    fix: 'Check the gateway URL and that the gateway answers `GET /system/functions`.',
  },
  HUB_DISCOVERY_UNAUTHORIZED: {
    meaning: 'The gateway refused the credentials used for discovery.',
    fix: 'Set gateway.auth.usernameFile and passwordFile, or basic_auth=true with secret_mount_path.',
  },
  HUB_DISCOVERY_DIFFERS: {
    meaning: 'What Kubernetes and the gateway say of a function is not the same; that of Kubernetes counts.',
    fix: 'Deploy the function again, or see why the gateway (or the operator of Function resources) lags behind.',
  },
  HUB_KUBERNETES_UNREACHABLE: {
    meaning: 'The API server of Kubernetes cannot be reached or does not answer in time; what is known stays in force.',
    fix: 'Check that the API server runs, and that network policies let this pod reach it.',
  },
  HUB_KUBERNETES_UNAUTHORIZED: {
    meaning:
      'The API server of Kubernetes does not know who asks: the token or certificate is missing, expired or wrong.',
    fix: 'In a pod, let its service account be mounted (automountServiceAccountToken); elsewhere, log in again.',
  },
  HUB_KUBERNETES_FORBIDDEN: {
    meaning: 'The API server of Kubernetes knows who asks and does not allow it.',
    fix: 'Grant the verb, resource and namespace that the error names by a Role or ClusterRole.',
  },
  HUB_KUBERNETES_FAILED: {
    meaning: 'The API server of Kubernetes refused a request, or answered something that is not its protocol.',
    fix: "See the reason in the message, and the API server's log.",
  },
  HUB_LEASE_LOST: {
    meaning: 'Another replica has the turn of this connector, or may have it; what was not begun here is left to it.',
    fix: 'Nothing, where it is rare; otherwise see why the API server did not answer within leader.renewDeadline.',
  },
  HUB_GATEWAY_UNREACHABLE: {
    meaning: 'The gateway cannot be connected to; deliveries wait and use up no attempts.',
    fix: 'Check gateway.url and that the gateway is running and reachable from here.',
  },
  HUB_GATEWAY_LISTEN: {
    meaning: 'The server could not listen on its address.',
    fix: 'Choose another port with --port, or stop what is using it.',
  },
  HUB_INVOKE_TIMEOUT: {
    meaning: 'The function did not answer in time.',
    fix: 'Raise the timeout (connector.timeout, or defaults.timeout), make the function faster, or use mode async.',
  },
  HUB_INVOKE_INTERRUPTED: {
    meaning: 'The connection broke while the function was being invoked.',
    fix: 'See the logs of the gateway and of the function; the event is retried.',
  },
  HUB_SOURCE_UNREACHABLE: {
    meaning: 'The broker cannot be connected to; the connector tries again with back-off.',
    fix: "Check the broker's address, port and network policy.",
  },
  HUB_SOURCE_AUTH: {
    meaning: 'The broker refused the credentials.',
    fix: "Check the connector's username and password (or passwordFile), or its client certificate.",
  },
  HUB_SOURCE_TLS: {
    meaning: 'A TLS connection to the broker could not be set up; there is no fallback to plain text.',
    fix: "Set tls.caFile to the broker's CA, and tls.certFile and tls.keyFile where it asks for a client certificate.",
  },
  HUB_SOURCE_FORBIDDEN: {
    meaning: 'The broker accepts the connection but not the subscription.',
    fix: "Grant the connector's user read access to the topic that the error names.",
  },
  HUB_SOURCE_LOST: {
    meaning:
      'The connection to the broker was lost; the connector reconnects and the broker delivers again what was unsettled.',
    fix: "Nothing, when it comes back by itself; otherwise see the broker's logs.",
  },
  HUB_SOURCE_THROTTLED: {
    meaning: 'The broker refuses requests because there are too many of them; the connector waits and tries again.',
    fix: "Raise the broker's quota, or run fewer replicas; others may be using the same account.",
  },
  HUB_SOURCE_PROTOCOL: {
    meaning: 'The broker answered something that its protocol does not allow.',
    fix: 'Check that the address is of the right kind of broker and of a supported version.',
  },
  HUB_SOURCE_LISTEN: {
    meaning: 'A connector that is called could not listen on its address; it tries again.',
    fix: 'Set listen.port of the connector to a free port, or stop what is using it.',
  },
  HUB_TOPIC_INVALID: {
    meaning: 'A topic is not valid in the syntax of the connector it is for.',
    fix: "Correct the topic; the connector's README states its syntax.",
  },
  HUB_TOPIC_MISSING: {
    meaning: 'A topic that functions ask for is not at the broker; the others keep working.',
    fix: 'Create it at the broker, or correct the topic annotation of the function.',
  },
  HUB_TOPIC_UNREAD: {
    meaning: "A function's topic is none of those that its connectors are set to read.",
    fix: 'Add it to `topics` (or `hooks`) of the connector, or correct the annotation.',
  },
  HUB_TOPIC_UNUSED: {
    meaning: 'A connector is set to read a topic that no function has.',
    fix: 'Annotate a function with it, or take it out of `topics` (or `hooks`).',
  },
  HUB_SCHEDULE_INVALID: {
    meaning: 'A schedule expression cannot be parsed.',
    fix: 'Use five fields (minute hour day month weekday), @every 30s or @hourly; try it with `connector-hub cron next`.',
  },
  HUB_DEAD_LETTER_FAILED: {
    meaning: 'A dead letter could not be made durable, so the event stays unsettled and is tried again.',
    fix: 'Check the disk space and permissions of stateDir.',
  },
  HUB_STATE_UNUSABLE: {
    meaning: 'The state directory or its database cannot be opened.',
    fix: 'Set stateDir to a writable directory on a local disk.',
  },
  HUB_EMIT_FAILED: {
    meaning: 'The broker did not take a test event.',
    fix: 'See what the broker answered; the user of the connector needs write access to publish with `connector-hub emit`.',
  },
  HUB_QUEUE_FULL: {
    meaning: 'So much waits in the embedded store for its functions that no more is taken.',
    fix: 'See why the functions do not take it; raise limits.inboxMax where the disk has room.',
  },
  HUB_USAGE: {
    meaning: 'The command line is not understood.',
    fix: 'See `connector-hub --help`.',
  },
  HUB_INTERNAL: {
    meaning: 'A bug in the hub.',
    fix: 'Please report it with the log around it.',
  },
} as const satisfies Record<`HUB_${string}`, { readonly meaning: string; readonly fix: string }>

export type ErrorCode = keyof typeof ERROR_CODES

export interface HubErrorOptions {
  readonly cause?: unknown
  /** Waiting and trying again may help. Default false. */
  readonly canRetry?: boolean
  /** An instruction that fits this very case; by default the general fix of the code. */
  readonly hint?: string
  readonly details?: Readonly<Record<string, unknown>>
}

/** The only error the hub throws on purpose. `message` says what happened and holds no secret. */
export class HubError extends Error {
  override readonly name = 'HubError'
  readonly code: ErrorCode
  readonly canRetry: boolean
  readonly hint: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: HubErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.canRetry = options.canRetry ?? false
    this.hint = options.hint ?? ERROR_CODES[code].fix
    this.details = options.details ?? {}
  }
}

/** Wraps anything thrown; a HubError stays as it is. */
export function asHubError(error: unknown, code: ErrorCode = 'HUB_INTERNAL', canRetry = false): HubError {
  if (error instanceof HubError) return error
  return new HubError(code, errorText(error), { cause: error, canRetry })
}

/** One line for a person: the message, or the system code where Node leaves the message empty (AggregateError). */
export function errorText(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(errorText).join('; ')
  // OpenSSL's text names a line of its source; the reason is what it means.
  if (error instanceof Error && /^[0-9A-F]+:error:/.test(error.message) && 'reason' in error) return `TLS: ${error.reason as string}` // prettier-ignore
  if (error instanceof Error) return error.message || (error as NodeJS.ErrnoException).code || error.name
  return String(error)
}

/** The error and everything that it wraps, outermost first. */
export function errorChain(error: unknown): readonly Error[] {
  const chain: Error[] = []
  const add = (one: unknown): void => {
    if (!(one instanceof Error) || chain.includes(one)) return
    chain.push(one)
    if (one instanceof AggregateError) for (const inner of one.errors) add(inner)
    add(one.cause)
  }
  add(error)
  return chain
}
