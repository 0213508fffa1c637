import {configDefaults, defineConfig} from 'vitest/config'

/** They use every core themselves, and are held against the time they take: they come last, one at a time. */
const alone = ['tests/simulation/years.test.ts', 'tests/simulation/teeth.test.ts']

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 180_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'all',
          include: ['tests/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...alone],
          sequence: {groupOrder: 0},
        },
      },
      {extends: true, test: {name: 'alone', include: alone, maxWorkers: 1, sequence: {groupOrder: 1}}},
    ],
  },
})
