// Discovery by a gateway: apart, so that commands which read only files do not load an HTTP client.

export * from './gateway-listing.ts'
export * from './gateway-watcher.ts'
