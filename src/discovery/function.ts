// Functions as discovery sees them, wherever they are listed.

/** Where an annotation was written, for findings. Lines and columns from 1. */
export interface SourcePosition {
  readonly file: string
  readonly line: number
  readonly column: number
}

export interface FunctionInfo {
  readonly name: string
  /** Empty where the gateway has no namespaces. */
  readonly namespace: string
  /** `name.namespace`, or `name` where there is no namespace: what goes into the invocation route. */
  readonly fullName: string
  readonly annotations: Readonly<Record<string, string>>
  /** Known when the function comes from a file; by annotation key, '' for the function itself. */
  readonly positions?: ReadonlyMap<string, SourcePosition>
}

/** One complete, successful listing. */
export interface Snapshot {
  readonly functions: readonly FunctionInfo[]
  readonly takenAtMs: number
}

export interface DiscoveryStatus {
  /** Unix milliseconds of the last complete listing; undefined before the first. */
  readonly lastGoodAtMs: number | undefined
  /** Why the latest attempt failed; undefined when it succeeded. `code: message`. */
  readonly problem: string | undefined
  readonly functions: number
}

/** Watches for functions. A failed or partial listing never reaches `onSnapshot`. */
export interface FunctionWatcher {
  /** Calls back with the first complete listing and then with every one that differs from the one before. Runs until `close`. */
  start(onSnapshot: (snapshot: Snapshot) => void): void
  status(): DiscoveryStatus
  /** Idempotent. */
  close(): Promise<void>
}
