// What the rest of the hub uses of discovery.

export * from './annotation-table.ts'
export * from './annotations.ts'
export * from './filter.ts'
export * from './finding.ts'
export * from './function.ts'
export * from './gateway-listing.ts'
export * from './gateway-watcher.ts'
export * from './namespace-filter.ts'
export * from './stack-file.ts'
export * from './stack-watcher.ts'
export * from './wiring.ts'
export * from './wiring-diff.ts'
