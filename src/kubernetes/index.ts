// What the rest of the hub uses to speak to Kubernetes, but for kubeconfig.ts, which is loaded only outside a pod.

export * from './access.ts'
export * from './api.ts'
export * from './errors.ts'
export * from './collection.ts'
export * from './list.ts'
export * from './open-access.ts'
export * from './rights.ts'
