// Every key of hub.yaml outside the connectors' own, declared once.

import { field } from '../sdk/index.ts'

const retry = field.group('How failed invocations are retried; annotations of the function win.', {
  attempts: field.integer({
    description: 'Retries after the first invocation; 0: never retry.',
    default: 5,
    max: 1000,
    env: ['max_retry_attempts'],
  }),
  minWait: field.duration({
    description: 'Wait before the first retry; doubles with each one.',
    default: '1s',
    env: ['initial_retry_wait'],
  }),
  maxWait: field.duration({ description: 'Longest wait between two retries.', default: '2m', env: ['max_retry_wait'] }),
  jitter: field.choice(['full', 'equal', 'none'], {
    description: 'full: 0-100 % of the wait; equal: 50-100 %; none: exactly it.',
    default: 'full',
  }),
  codes: field.statuses({
    description: 'HTTP statuses that are retried; by default 408, 425, 429 and every 5xx.',
    example: [429, 503],
    env: ['retry_http_codes'],
  }),
})

export const hubFields = {
  gateway: field.group('The OpenFaaS gateway that lists and runs the functions.', {
    url: field.url({
      description: 'Base URL; a path prefix is kept.',
      default: 'http://127.0.0.1:8080',
      protocols: ['http:', 'https:'],
      env: ['gateway_url', 'OPENFAAS_URL'],
    }),
    auth: field.group('Credentials for /system/*; basic_auth=true with secret_mount_path is understood too.', {
      username: field.secret({ description: 'User name.' }),
      password: field.secret({ description: 'Password.' }),
    }),
    namespaces: field.list({
      description: 'Only these namespaces; * matches any text. Empty: all.',
      default: [],
      example: ['openfaas-fn', 'team-*'],
    }),
    namespacesExcluded: field.list({ description: 'Never these namespaces.', default: [] }),
    rebuildInterval: field.duration({
      description: 'Time between two listings of the functions.',
      default: '10s',
      minMs: 100,
      env: ['rebuild_interval'],
    }),
    rebuildTimeout: field.duration({
      description: 'Time a listing may take.',
      default: '10s',
      minMs: 100,
      env: ['rebuild_timeout'],
    }),
  }),
  discovery: field.choice(['gateway', 'kubernetes', 'kubernetes+gateway'], {
    description:
      'Who tells which functions there are: the gateway, asked every rebuildInterval; the API server of Kubernetes, watched; or that, compared with the gateway.',
    default: 'gateway',
  }),
  kubernetes: field.group('The API server: by the service account of the pod, elsewhere by a kubeconfig.', {
    functionNamespace: field.string({
      description: "OpenFaaS's own namespace of functions; others count when they are annotated openfaas=1.",
      default: 'openfaas-fn',
      env: ['function_namespace'],
    }),
    kubeconfig: field.string({
      description: 'File instead of the service account, of KUBECONFIG and of ~/.kube/config.',
      example: '/etc/hub/kubeconfig',
    }),
    context: field.string({ description: 'Context of the kubeconfig instead of its current one.', example: 'staging' }),
    timeout: field.duration({ description: 'Time a request may take.', default: '10s', minMs: 100 }),
  }),
  leader: field.group(
    'Replicas of connectors that do not share events take turns, by a Lease of Kubernetes: one works, the others stand by.',
    {
      enabled: field.boolean({
        description: 'Whether they do. Their state is then kept in the cluster, in a ConfigMap.',
        default: false,
      }),
      lease: field.string({
        description:
          'Lease and ConfigMap of an instance are called by this, a hyphen, and its name. One for each release.',
        default: 'connector-hub',
        pattern: /^[a-z0-9]([-a-z0-9.]{0,180}[a-z0-9])?$/,
        patternHint: 'must be a name of Kubernetes: lower-case letters, digits, - and .',
      }),
      namespace: field.string({
        description: 'Where they are. By default that of the pod.',
        env: ['POD_NAMESPACE'],
        example: 'openfaas',
      }),
      identity: field.string({
        description: 'What this replica is called there, with some random letters behind. By default the host name.',
        env: ['POD_NAME'],
        example: 'hub-cron-5d4f',
      }),
      duration: field.duration({
        description: 'How long the others wait for a replica that is silent.',
        default: '15s',
        minMs: 1000,
      }),
      renewDeadline: field.duration({
        description: 'How long a replica works without having renewed its turn. Must be shorter than duration.',
        default: '10s',
        minMs: 500,
      }),
      retryPeriod: field.duration({
        description:
          'Between two renewals, and between two looks of those that stand by. Must be shorter than renewDeadline.',
        default: '2s',
        minMs: 100,
      }),
    },
  ),
  topicDelimiter: field.string({
    description: 'Text between the topics of one annotation, one or several characters.',
    default: ',',
    env: ['topic_delimiter'],
  }),
  defaults: field.group('Settings of every trigger; annotations of the function win.', {
    mode: field.choice(['sync', 'async'], {
      description: 'sync: settled by the answer of the function; async: by the acceptance of the queue.',
      default: 'sync',
    }),
    timeout: field.duration({
      description: 'Whole invocation, connect to last byte.',
      default: '60s',
      minMs: 1,
      env: ['upstream_timeout'],
    }),
    concurrency: field.integer({
      description: 'Invocations of one function at a time, over all connectors.',
      default: 32,
      min: 1,
    }),
    ordering: field.choice(['key', 'none'], {
      description: 'key: events with equal ordering keys one at a time, in order.',
      default: 'key',
    }),
    callbackUrl: field.url({
      description: 'Sent as X-Callback-Url with async invocations.',
      protocols: ['http:', 'https:'],
      example: 'http://gateway.openfaas:8080/function/done',
    }),
    contentType: field.string({
      description: 'Content-Type of events that state none.',
      default: 'text/plain',
      env: ['content_type'],
    }),
    retry,
  }),
  limits: field.group('Bounds of the whole process.', {
    inFlightMax: field.integer({ description: 'Invocations at a time, over all connectors.', default: 512, min: 1 }),
    ledgerEntries: field.integer({
      description: 'Finished deliveries remembered per connector.',
      default: 1000,
      max: 1_000_000,
    }),
    inboxMax: field.size({
      description: 'Bytes of accepted events that may wait on the disk, per connector that is called.',
      default: '1GiB',
      minBytes: 1,
    }),
  }),
  stateDir: field.string({
    description:
      'Directory of the embedded store: dead letters, connector state and accepted events. Must be on a durable disk.',
    default: '.connector-hub',
  }),
  deadLetters: field.group(
    'Where dead letters go for which the broker of their event has no place. None of these: stateDir.',
    {
      function: field.string({
        description: 'Function that is called with each; what it answers with 2xx, it has kept.',
        pattern: /^[-A-Za-z0-9_.]+$/,
        patternHint: 'must be the name of a function, with its namespace: keep-letters.openfaas-fn',
        example: 'keep-letters.openfaas-fn',
      }),
      mode: field.choice(['sync', 'async'], {
        description: 'async: kept is what the queue of the gateway has accepted.',
        default: 'sync',
      }),
      connector: field.string({
        description:
          'Instance under connectors whose broker keeps each as an event of the topic: Kafka, NATS JetStream, RabbitMQ or SQS.',
        example: 'kafka',
      }),
      topic: field.string({ description: 'Topic, subject or queue there.', example: 'dead-letters' }),
    },
  ),
  drainTimeout: field.duration({ description: 'Time for running invocations to end at shutdown.', default: '25s' }),
  admin: field.group('Health and metrics server.', {
    host: field.string({ description: 'Address to listen on.', default: '0.0.0.0' }),
    port: field.integer({ description: 'Port; 0: any free one.', default: 8081, max: 65_535 }),
  }),
  scaler: field.group(
    'Answers KEDA (external-push, gRPC) with how much waits at the broker of each connector. The command `scaler` does nothing else.',
    {
      port: field.integer({
        description: 'Port; 0: any free one. Without it, `run` answers nothing and `scaler` listens at 9090.',
        max: 65_535,
        example: 9090,
      }),
      host: field.string({ description: 'Address to listen on.', default: '0.0.0.0' }),
      interval: field.duration({
        description: 'Time between two looks at a broker.',
        default: '5s',
        minMs: 100,
      }),
      hub: field.url({
        description:
          'Admin server of the replicas, by a name that stands for each of them (a headless Service): asked what they have where the broker does not tell it (RabbitMQ).',
        protocols: ['http:'],
        example: 'http://connector-hub-rabbitmq-pods.openfaas:8081',
      }),
      tls: field.group('TLS of this server; without certFile it is plain text.', {
        certFile: field.string({
          description: 'PEM file of the server certificate; read again when it is renewed.',
          example: '/etc/hub/scaler.pem',
        }),
        keyFile: field.string({ description: 'PEM file of its key.', example: '/etc/hub/scaler.key' }),
        clientCaFile: field.string({
          description: 'PEM file of the CA whose certificates clients must have; without it they need none.',
          example: '/etc/hub/keda-ca.pem',
        }),
      }),
    },
  ),
  log: field.group('What is written to standard error.', {
    level: field.choice(['debug', 'info', 'warn', 'error'], { description: 'Least level written.', default: 'info' }),
    format: field.choice(['console', 'json'], {
      description: 'For people or for machines.',
      default: 'console',
      env: ['log_encoding'],
    }),
    printResponse: field.boolean({ description: 'A line for every answer.', default: false, env: ['print_response'] }),
    printResponseBody: field.boolean({
      description: 'With the body of every answer.',
      default: false,
      env: ['print_response_body'],
    }),
    printRequestBody: field.boolean({
      description: 'With the body of every event.',
      default: false,
      env: ['print_request_body'],
    }),
  }),
} as const

/** What every connector instance has beside the fields of its manifest. */
export const instanceFields = {
  type: field.string({
    description: 'Connector: a name from `connector-hub list`, or a package name or path.',
    required: true,
  }),
  inFlightMax: field.integer({
    description: 'Invocations of this connector at a time.',
    default: 128,
    min: 1,
    max: 10_000,
  }),
  heldMax: field.integer({
    description: 'Events that may wait unsettled beside those, for a retry, their order or a limit.',
    default: 1000,
    max: 50_000,
  }),
  unsettledBytesMax: field.size({
    description: 'Bytes of events that may be unsettled at once.',
    default: '64MiB',
    minBytes: 1,
  }),
  mode: field.choice(['sync', 'async'], { description: 'Instead of defaults.mode.' }),
  timeout: field.duration({ description: 'Instead of defaults.timeout.', minMs: 1 }),
  leader: field.choice(['auto', 'on', 'off'], {
    description:
      'Whether its replicas take turns where leader.enabled is set; auto: when each of them would get every event.',
    default: 'auto',
  }),
  callbackUrl: field.url({ description: 'Instead of defaults.callbackUrl.', protocols: ['http:', 'https:'] }),
  contentType: field.string({ description: 'Instead of defaults.contentType.' }),
} as const
