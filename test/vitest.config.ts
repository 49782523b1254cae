import { configDefaults, defineConfig } from 'vitest/config'

import Sequencer from './sequencer.ts'

const onKubernetes = (process.env['HUB_TEST_KUBERNETES'] ?? '') !== ''

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    // Those on Kubernetes need an API server that takes long to build: a run of their own, `npm run test:kubernetes`.
    ...(onKubernetes
      ? { include: ['test/kubernetes/**/*.test.ts'] }
      : {
          include: ['test/**/*.test.ts', 'connectors/**/*.test.ts'],
          exclude: [...configDefaults.exclude, 'test/kubernetes/**'],
        }),
    reporters: [process.env['CI'] === undefined ? 'default' : 'dot', './test/reporter.ts'],
    pool: 'forks',
    // More than this machine may have cores: many of them wait for servers.
    maxWorkers: 5,
    sequence: { sequencer: Sequencer },
    // Of no interest to what works; a server on a machine that runs five files at once takes its time.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    // What is compared is often all that is known of a failure.
    chaiConfig: { truncateThreshold: 400 },
    expect: { poll: { timeout: 60_000 } },
    globalSetup: ['test/guard.ts', 'test/servers/global-setup.ts'],
  },
})
