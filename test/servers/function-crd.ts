// The custom resource of OpenFaaS functions as its operator installs it, for a cluster of the tests. Holds a schema only.

const TEXT = { type: 'string' } as const
const FLAG = { type: 'boolean' } as const
const TEXTS = { type: 'array', items: TEXT } as const
const TEXT_BY_NAME = { type: 'object', additionalProperties: TEXT } as const
const RESOURCES = { type: 'object', properties: { cpu: TEXT, memory: TEXT } } as const

const SPEC = {
  type: 'object',
  required: ['image', 'name'],
  properties: {
    name: TEXT,
    image: TEXT,
    handler: TEXT,
    annotations: TEXT_BY_NAME,
    labels: TEXT_BY_NAME,
    environment: TEXT_BY_NAME,
    constraints: TEXTS,
    secrets: TEXTS,
    limits: RESOURCES,
    requests: RESOURCES,
    readOnlyRootFilesystem: FLAG,
  },
} as const

const SCHEMA = {
  type: 'object',
  required: ['spec'],
  properties: { apiVersion: TEXT, kind: TEXT, metadata: { type: 'object' }, spec: SPEC },
} as const

/** What the API server is given. */
export const FUNCTION_CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'functions.openfaas.com' },
  spec: {
    group: 'openfaas.com',
    scope: 'Namespaced',
    names: { kind: 'Function', listKind: 'FunctionList', plural: 'functions', singular: 'function' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: SCHEMA },
        additionalPrinterColumns: [{ name: 'Image', type: 'string', jsonPath: '.spec.image' }],
      },
    ],
  },
} as const
