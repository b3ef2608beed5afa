import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: [
      'gateway/**/*.test.ts',
      'plugins/**/*.test.ts',
      'native/**/*.test.ts',
      'bench/**/*.test.ts',
      'scripts/**/*.test.ts',
    ],
    exclude: ['node_modules', 'dist', 'build', 'build-*'],
    // Native addons do not like worker threads that come and go; a process a file also keeps engines apart.
    pool: 'forks',
    // Machines of two cores run engines in several files at once: time must never decide a test.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    expect: { poll: { timeout: 300_000 } },
    globalSetup: ['gateway/models/test_setup.ts'],
  },
});
