// Discovery by a cluster: apart, so that commands which read only files do not load an HTTP client.

export * from './checked-watcher.ts'
export * from './cross-check.ts'
export * from './kubernetes-listing.ts'
export * from './kubernetes-scope.ts'
export * from './kubernetes-watcher.ts'
