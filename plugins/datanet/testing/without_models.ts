/** What tests and benches give a service of the server around it: no models and no files. */
import type { ServiceOptions } from '../service.ts';

export const withoutModels: Pick<ServiceOptions, 'threads' | 'host'> = {
  threads: 2,
  host: {
    all: () => [],
    text: () => Promise.reject(new Error('There are no models.')),
    files: { find: async () => undefined, create: async () => '' },
  },
};
