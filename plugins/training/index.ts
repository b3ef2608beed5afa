/** Trains adapters: a file or a snapshot in, a served adapter out, behind OpenAI's fine-tuning API. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { definePlugin } from '../../gateway/contract/index.ts';
import { Jobs } from './jobs.ts';
import { fineTuningRoutes } from './routes.ts';

export const trainingConfig = Type.Object(
  {
    threads: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1024,
        description: 'Compute threads of a job. Default: half of the cores. The result is the same.',
      }),
    ),
    activation_bytes: Type.Integer({
      default: 2 ** 30,
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      bytes: true,
      expects: 'a size such as "512MB", "2GiB" or a number of bytes',
      description: 'What a job keeps of a forward pass; the rest it computes again. The result is the same.',
    }),
    concurrency: Type.Integer({
      default: 1,
      minimum: 1,
      maximum: 64,
      description: 'Jobs that run at once.',
    }),
    unfinished_jobs: Type.Integer({
      default: 100,
      minimum: 1,
      maximum: 100_000,
      description: 'Jobs of one tenant that have not ended, at most; further ones get a 429.',
    }),
  },
  { additionalProperties: false },
);

/** Threads of a job: half of the cores leave room for what is served. */
export const jobThreads = ({ threads }: Static<typeof trainingConfig>) =>
  threads ?? Math.max(1, Math.floor(availableParallelism() / 2));

export default definePlugin({
  name: 'training',
  contract: 1,
  config: trainingConfig,
  provides: [],
  setup(host, config) {
    const jobs = new Jobs({
      host,
      folder: join(host.paths.data, 'training'),
      threads: jobThreads(config),
      activationBytes: config.activation_bytes,
      concurrency: config.concurrency,
      unfinished: config.unfinished_jobs,
    });
    host.routes((app) => fineTuningRoutes(app, host, jobs));
    return { ready: () => jobs.start(), drain: () => jobs.stop() };
  },
});
