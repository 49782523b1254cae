import { defineConfig } from 'vitest/config'

import Sequencer from './sequencer.ts'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts', 'connectors/**/*.test.ts'],
    reporters: [process.env['CI'] === undefined ? 'default' : 'dot', './test/reporter.ts'],
    pool: 'forks',
    // More than this machine may have cores: many of them wait for servers.
    maxWorkers: 5,
    sequence: { sequencer: Sequencer },
    // Of no interest to what works; a server on a machine that runs five files at once takes its time.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    globalSetup: ['test/guard.ts', 'test/servers/global-setup.ts'],
  },
})
