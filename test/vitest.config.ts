import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts', 'connectors/**/*.test.ts'],
    reporters: [process.env['CI'] === undefined ? 'default' : 'dot', './test/reporter.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    globalSetup: ['test/guard.ts', 'test/servers/global-setup.ts'],
  },
})
