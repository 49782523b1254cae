// Functions as discovery sees them, wherever they are listed.

import type { Finding } from './finding.ts'

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
  /** About the listing itself: refused names, wrong shapes in a stack file. */
  readonly findings: readonly Finding[]
}

export interface DiscoveryStatus {
  /** Unix milliseconds of the last complete listing; undefined before the first. */
  readonly lastGoodAtMs: number | undefined
  /** Why the latest attempt failed; undefined when it succeeded. `code: message. hint`. */
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

/** What a watcher reports; the hub's events are one. */
export interface DiscoveryEvents {
  /** Called for every failed attempt. `lastGoodAgeMs`: age of the listing that stays in force; undefined when there is none. */
  discoveryFailed(code: string, message: string, lastGoodAgeMs: number | undefined): void
  /** The first success after a failure. */
  discoveryRecovered(): void
}

/** Letters, digits, `-`, `_` and `.`, so that a name is safe in a route; never `.` or `..`. */
const SAFE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$/

/** True when the name can stand in `/function/<name>` as it is. */
export function isRoutableName(name: string): boolean {
  return SAFE_NAME.test(name)
}

/** A namespace must not contain a dot: gateways split `name.namespace` at the last one. */
export function isRoutableNamespace(namespace: string): boolean {
  return SAFE_NAME.test(namespace) && !namespace.includes('.')
}

/** `name.namespace`, or the bare name where there is no namespace. */
export function fullFunctionName(name: string, namespace: string): string {
  return namespace === '' ? name : `${name}.${namespace}`
}

/** Equal keys and values, in any order. */
export function sameAnnotations(left: FunctionInfo['annotations'], right: FunctionInfo['annotations']): boolean {
  const keys = Object.keys(left)
  return keys.length === Object.keys(right).length && keys.every((key) => left[key] === right[key])
}
