// KEDA's external scaler: how much waits for each connector, by looking at its broker beside the hub. For the composition root.

export * from './lag-watch.ts'
export * from './replicas.ts'
export * from './server.ts'
export type { Watches } from './service.ts'
